"""Principal components against scikit-learn, their invariances and bounds; parameters against networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Context, UsageError
from spaniel.expression import Stage
from spaniel_w_pca import arrays
from spaniel_w_pca.config import NluConfig
from spaniel_w_pca.principal import count_components

PUBLISHED = [1, 4, 5, 11, 3, 5, 1, 9, 11, 1, 11, 3]
"""The array in the published fine-tuning script."""


def by_svd(rows: np.ndarray[Any, Any], eta: float) -> tuple[int, bool]:
    """Return the count by singular values, and whether it is a tie."""
    values = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2
    shares = values.cumsum() / values.sum()
    return int((shares <= eta).sum()) + 1, bool(np.abs(shares - eta).min() < 1e-9)


def matrices(count: int) -> list[np.ndarray[Any, Any]]:
    """Return matrices of all sorts: tall, wide, of low rank, with constant columns, with columns of other sizes."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        n, d = int(rng.integers(3, 60)), int(rng.integers(2, 60))
        rows = rng.normal(size=(n, d))
        if number % 4 == 1:
            rank = int(rng.integers(1, min(n, d) + 1))
            rows = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
        if number % 4 == 2:
            rows[:, : d // 2] = 3.0
        if number % 4 == 3:
            rows *= np.exp(rng.normal(size=d))
        made.append(rows + rng.normal(size=d))
    return made


@pytest.mark.parametrize("eta", [0.5, 0.9, 0.99])
def test_counts_are_those_of_scikit_learn(eta: float) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    compared = 0
    for rows in matrices(100):
        expected, is_tie = by_svd(rows, eta)
        if is_tie:
            continue
        shares = decomposition.PCA().fit(rows).explained_variance_ratio_.cumsum()
        assert count_components(torch.from_numpy(rows), eta) == int((shares <= eta).sum()) + 1 == expected
        compared += 1
    assert compared >= 95


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.floats(0.3, 0.995))
def test_counts_do_not_change_under_what_leaves_shares_alone(seed: int, eta: float) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(4, 40)), int(rng.integers(2, 40))
    rows = rng.normal(size=(n, d)) * np.exp(rng.normal(size=d))
    expected, is_tie = by_svd(rows, eta)
    if is_tie:
        return
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    for other in (rows @ rotation, 1e3 * rows, rows + 7 * rng.normal(size=d), rows[rng.permutation(n)]):
        assert count_components(torch.from_numpy(other), eta) == expected


def test_counts_change_where_columns_are_scaled_apart() -> None:
    rows = torch.randn(400, 30, generator=torch.Generator().manual_seed(1))
    scaled = rows * torch.logspace(0, -4, 30)
    assert count_components(scaled, 0.99) < count_components(rows, 0.99) / 2


def test_bounds_hold() -> None:
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(40_000, 200, generator=random)
    assert count_components(noise, 0.99) == pytest.approx(0.99 * 200, rel=0.02)
    low = torch.randn(500, 7, generator=random) @ torch.randn(7, 200, generator=random)
    assert count_components(low, 0.999999) <= 7
    few = torch.randn(12, 200, generator=random)
    assert 1 <= count_components(few, 0.9999) <= 11
    assert count_components(torch.ones(10, 5) * 1e6, 0.99) == 0


def test_gram_and_covariance_give_the_same_count() -> None:
    for seed in range(20):
        rows = torch.randn(30, 30 + seed % 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        centred = rows - rows.mean(0)
        values = torch.linalg.eigvalsh(centred.T @ centred).flip(0).clamp_min(0)
        expected = int((values.cumsum(0) / values.sum() > 0.9).int().argmax()) + 1
        assert count_components(rows, 0.9) == expected


# Parameters


def test_blocks_have_the_published_numbers_of_parameters() -> None:
    config = NluConfig()
    counts = [arrays.block_parameters(config, code) for code in range(12)]
    assert counts == [
        *(1_259_412 + 139_524 * size for size in range(6)),
        *(403_788 + 34_980 * size for size in range(6)),
    ]
    assert arrays.embedding_parameters(config) == 4_382_544
    pooler = 528 * 528 + 528
    blocks = sum(counts[code] for code in PUBLISHED)
    assert round(blocks / 1e6, 2) == 15.53
    assert round((blocks + 4_382_544 + pooler) / 1e6, 1) == 20.2


def test_counts_are_those_of_the_networks(context: Context) -> None:
    space: Any = context.create("search_space", "nlu-bert-mobilebert(layers=4)")
    rng = np.random.default_rng(0)
    for _ in range(50):
        candidate = space.sample(rng)
        with torch.device("meta"):
            from spaniel_w_pca.network import Encoder

            network = Encoder(space.layers(candidate), space.sizes)
        assert sum(one.numel() for one in network.parameters()) == space.counts(candidate)["parameters"]


def test_a_fifth_of_all_arrays_is_within_the_published_limit() -> None:
    config = NluConfig()
    sizes = np.array([arrays.block_parameters(config, code) for code in range(12)])
    drawn = np.random.default_rng(0).integers(12, size=(20_000, 12))
    whole = sizes[drawn].sum(1) + 4_382_544 + 528 * 528 + 528
    assert (whole <= 15_700_000).mean() == pytest.approx(0.22, abs=0.01)
    assert np.median(whole) == pytest.approx(17.3e6, rel=0.01)


@pytest.mark.parametrize("limit", [5_000_000, 6_500_000, 12_000_000])
def test_the_limit_is_kept_by_all_that_is_proposed(limit: int, context: Context) -> None:
    stage = Stage("nlu-bert-mobilebert", max_params=limit, count_embeddings=False)
    space: Any = context.create("search_space", stage)
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = space.sample(rng), space.sample(rng)
        for made in (first, space.mutate(first, rng), space.cross(first, second, rng), space.at([11.0, 5.0] * 6)):
            space.validate(made)
            assert space.counts(made)["blocks"] == space.counts(made)["counted"] <= limit


def test_a_limit_that_nothing_keeps_is_refused(context: Context) -> None:
    with pytest.raises(UsageError, match="smallest candidate has 9,228,000 parameters"):
        context.create("search_space", "nlu-bert-mobilebert(max_params=9000000)")
    with pytest.raises(UsageError, match="max_params=15,700,000"):
        context.create("search_space", "nlu-bert-mobilebert(max_params=15700000)").validate(PUBLISHED)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 7}, "no multiple of heads=7"),
        ({"families": ["bert", "bert"]}, "different ones"),
        ({"seq_len": 600}, "more than positions"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str, context: Context) -> None:
    with pytest.raises(UsageError, match=message):
        context.create("search_space", Stage("nlu-bert-mobilebert", **options))


@pytest.mark.parametrize("candidate", [[0] * 11, [12] * 12, [True] * 12, ["0"] * 12, [0.0] * 12])
def test_what_is_no_array_is_refused(candidate: Any, context: Context) -> None:
    with pytest.raises(UsageError, match="no candidate"):
        context.create("search_space", "nlu-bert-mobilebert").validate(candidate)


def test_mutation_changes_a_tenth_of_the_codes_and_one_at_least() -> None:
    config, rng = NluConfig(layers=40), np.random.default_rng(0)
    before = arrays.sample(config, rng)
    changed = [sum(a != b for a, b in zip(before, arrays.mutate(config, before, rng), strict=True)) for _ in range(500)]
    assert min(changed) >= 1
    assert np.mean(changed) == pytest.approx(4.0, rel=0.1)

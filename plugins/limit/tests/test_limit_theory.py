"""Bounds, the moment curve, sets in reach, and free embeddings."""

from __future__ import annotations

import json
import tracemalloc
from itertools import combinations, pairwise
from math import comb, log
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_matrix
from spaniel import Context, UsageError
from spaniel_limit import critical
from spaniel_limit.bounds import (
    PUBLISHED_CRITICAL,
    PUBLISHED_CUBIC,
    Cubic,
    fit_cubic,
    largest_margin,
    least_dimension,
    loss_floor,
)
from spaniel_limit.config import CriticalConfig, FreeEmbeddingConfig, NeededConfig
from spaniel_limit.free import Adam, InfoNce, count_hits, fit, sets_of
from spaniel_limit.moment_curve import document_vectors, even_angles, query_vectors
from spaniel_limit.needed import core_of, search_dimension
from spaniel_limit.patterns import all_sets
from spaniel_limit.ranking import Wanted
from spaniel_limit.reachable import all_reachable, reach

MARGIN_TABLE = {
    10**3: (6, 23, 135),
    10**5: (10, 42, 329, 2334),
    10**7: (14, 61, 521, 4257),
    10**9: (17, 81, 713, 6177),
}
"""Published: documents → dimensions for sets of 2, 10, 100 and 1000 with a margin of 0.1."""


# Bounds


@pytest.mark.parametrize("n", MARGIN_TABLE)
def test_the_published_table_of_the_margin_theorem(n: int) -> None:
    assert tuple(least_dimension(n, k, 0.1) for k in (2, 10, 100, 1000)[: len(MARGIN_TABLE[n])]) == MARGIN_TABLE[n]


@pytest.mark.parametrize(("n", "k"), [(10, 2), (50, 3), (1000, 2)])
def test_the_largest_margin_is_the_bound_turned_around(n: int, k: int) -> None:
    for margin in (0.01, 0.1, 0.5):
        d = least_dimension(n, k, margin)
        assert largest_margin(n, k, d) >= margin
        if d > 1:
            assert largest_margin(n, k, d - 1) < margin


def test_bounds_refuse_what_is_none() -> None:
    with pytest.raises(UsageError, match="no sets of 3 among 2"):
        least_dimension(2, 3, 0.1)
    with pytest.raises(UsageError, match="above 0, not 0"):
        least_dimension(10, 2, 0)
    assert largest_margin(10**9, 1000, 1) < 1e-300
    assert largest_margin(5, 5, 3) == 2.0


def test_the_cubic_of_the_published_points_is_the_published_cubic() -> None:
    found = fit_cubic(PUBLISHED_CRITICAL)
    assert tuple(round(c, 4) for c in found.coefficients) == PUBLISHED_CUBIC
    assert 0.998 <= found.r2 <= 0.999
    published = Cubic(PUBLISHED_CUBIC, 1.0)
    for d, n in {512: 512_290, 768: 1_709_800, 1024: 4_031_488, 4096: 255_150_979}.items():
        assert published(d) == pytest.approx(n, rel=1e-6)
    with pytest.raises(UsageError, match="4 points or more"):
        fit_cubic({4: 10, 5: 14, 6: 19})


# The moment curve


@pytest.mark.parametrize("n", [10, 50, 100, 200])
def test_four_dimensions_return_every_pair_whatever_the_number_of_documents(n: int) -> None:
    angles, sets = even_angles(n), all_sets(n, 2)
    documents = document_vectors(angles, 2)
    np.testing.assert_allclose(np.linalg.norm(documents, axis=1), 1, atol=1e-12)
    scores = query_vectors(angles[sets]) @ documents.T
    found = np.sort(np.argpartition(-scores, 1, axis=1)[:, :2], axis=1)
    np.testing.assert_array_equal(found, sets)


def test_gradients_do_not_find_in_four_dimensions_what_is_there() -> None:
    assert not fit(FreeEmbeddingConfig(n=20, d=4)).solved
    angles, sets = even_angles(20), all_sets(20, 2)
    wanted = Wanted.from_sets(sets)
    assert count_hits(query_vectors(angles[sets]), document_vectors(angles, 2), wanted) == (sets.size, len(sets))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_scores_on_the_curve_are_the_product_of_the_formula(k: int) -> None:
    rng = np.random.default_rng(k)
    angles, chosen = rng.uniform(0, 2 * np.pi, 12), rng.uniform(0, 2 * np.pi, (5, k))
    scores = query_vectors(chosen) @ document_vectors(angles, k).T
    formula = -np.prod(1 - np.cos(angles[None, :, None] - chosen[:, None, :]), axis=2)
    for mine, theirs in zip(scores, formula, strict=True):
        slope, offset = np.polyfit(theirs, mine, 1)
        assert slope > 0
        np.testing.assert_allclose(mine, slope * theirs + offset, atol=1e-10)


# Sets in reach


@pytest.mark.parametrize("n", [6, 11, 20])
def test_on_a_circle_neighbours_alone_are_in_reach(n: int) -> None:
    angles = even_angles(n)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for pair in combinations(range(n), 2):
        found = reach(circle, np.array(pair))
        assert found.reachable == ((pair[1] - pair[0]) in (1, n - 1)), pair
        if found.reachable:
            scores = circle @ found.query
            assert found.margin == pytest.approx(min(scores[list(pair)]) - max(np.delete(scores, pair)))
            assert found.margin > 0


def test_reach_agrees_with_trying_very_many_queries() -> None:
    rng = np.random.default_rng(3)
    documents = rng.normal(size=(14, 3))
    scores = rng.normal(size=(300_000, 3)) @ documents.T
    seen = {
        tuple(pair) for pair in np.unique(np.sort(np.argpartition(-scores, 1, axis=1)[:, :2], axis=1), axis=0).tolist()
    }
    in_reach = {pair for pair in combinations(range(14), 2) if reach(documents, np.array(pair)).reachable}
    assert seen <= in_reach
    # What is in reach by a hair may not be met by chance.
    assert len(in_reach - seen) <= 2
    assert len(in_reach) < comb(14, 2)


def test_reach_looks_at_all_documents_not_at_the_first_guess() -> None:
    rng = np.random.default_rng(5)
    documents = rng.normal(size=(3000, 8))
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    for _ in range(5):
        chosen = rng.choice(3000, 2, replace=False)
        found = reach(documents, chosen)
        if found.reachable:
            assert set(np.argsort(-(documents @ found.query))[:2].tolist()) == set(chosen.tolist())
    inner = np.concatenate([documents, documents[:1] * 0.01])
    assert not reach(inner, np.array([3000])).reachable, "a point inside the others' hull is never first"


def test_few_documents_are_all_in_reach_and_everything_is_a_set() -> None:
    rng = np.random.default_rng(1)
    assert all_reachable(rng.normal(size=(9, 8)))
    assert not all_reachable(rng.normal(size=(10, 8)))
    assert not all_reachable(np.ones((3, 8)))
    assert all(reach(rng.normal(size=(9, 8)), np.array(pair)).reachable for pair in combinations(range(9), 2))
    assert reach(np.eye(3), np.arange(3)).reachable


# Free embeddings


@pytest.mark.parametrize("temperature", [0.1, 0.02])
@pytest.mark.parametrize(("n", "k", "cap"), [(9, 2, None), (7, 3, 20), (600, 2, 900)])
def test_loss_and_gradient_are_those_of_automatic_differentiation(
    n: int, k: int, cap: int | None, temperature: float
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    sets = sets_of(FreeEmbeddingConfig(n=n, d=5, k=k, query_cap=cap))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(sets) + n, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gradient = np.empty_like(vectors)
    mine = InfoNce(Wanted.from_sets(sets), n, temperature)(vectors[: len(sets)], vectors[len(sets) :], gradient)
    leaf = torch.tensor(vectors, requires_grad=True)
    logits = leaf[: len(sets)] @ leaf[len(sets) :].T / temperature
    theirs = -torch.log_softmax(logits, dim=1).gather(1, torch.tensor(sets)).mean()
    theirs.backward()
    assert mine == pytest.approx(theirs.item(), rel=1e-10)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-12)


def test_adam_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    mine = rng.normal(size=(6, 4))
    theirs = torch.nn.Parameter(torch.tensor(mine))
    ours, peer = Adam(mine, 0.01), torch.optim.Adam([theirs], lr=0.01)
    for _ in range(20):
        gradient = rng.normal(size=(6, 4))
        theirs.grad = torch.tensor(gradient)
        peer.step()
        ours.step(mine, gradient)
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3])
def test_the_loss_ends_at_the_logarithm_of_k(k: int) -> None:
    angles, sets = even_angles(9), all_sets(9, k)
    queries, documents = query_vectors(angles[sets]), document_vectors(angles, k)
    gradient = np.empty((len(sets) + 9, 2 * k))
    wanted = Wanted.from_sets(sets)
    losses = [InfoNce(wanted, 9, t)(queries, documents, gradient) for t in (1.0, 0.1, 0.01, 0.001, 0.0001)]
    assert all(a > b for a, b in pairwise(losses))
    assert losses[-1] == pytest.approx(loss_floor(k), abs=1e-6)
    assert loss_floor(2) == log(2)


def test_a_training_keeps_unit_vectors_and_counts_by_whole_numbers() -> None:
    found = fit(FreeEmbeddingConfig(n=8, d=4))
    assert found.solved
    assert (found.hits, found.total, found.whole, found.accuracy) == (56, 56, 28, 1.0)
    np.testing.assert_allclose(np.linalg.norm(found.queries, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.documents, axis=1), 1, atol=1e-6)
    again = fit(FreeEmbeddingConfig(n=8, d=4))
    np.testing.assert_array_equal(found.queries, again.queries)
    assert (found.iterations - 1) % 50 == 0, "rankings are looked at every 50 updates alone"
    assert not np.array_equal(found.documents, fit(FreeEmbeddingConfig(n=8, d=4, seed=43)).documents)


def test_options_of_a_training_do_what_they_say() -> None:
    assert fit(FreeEmbeddingConfig(n=30, d=4, max_iter=7)).iterations == 7
    stopped = fit(FreeEmbeddingConfig(n=30, d=4, patience=3, min_delta=1.0))
    assert stopped.iterations <= 12
    free = fit(FreeEmbeddingConfig(n=6, d=3, max_iter=60, normalise=False))
    assert np.abs(np.linalg.norm(free.documents, axis=1) - 1).max() > 0.01
    assert fit(FreeEmbeddingConfig(n=6, d=3, dtype="float64", max_iter=5)).queries.dtype == np.float64
    sample = sets_of(FreeEmbeddingConfig(n=12, d=3, query_cap=10))
    assert len({tuple(one) for one in sample.tolist()}) == 10
    hot, cold = (fit(FreeEmbeddingConfig(n=9, d=4, temperature=t, max_iter=1)).loss for t in (1.0, 0.05))
    assert hot != pytest.approx(cold, rel=0.01)
    with pytest.raises(ValueError, match="no sets of 4 among 3"):
        FreeEmbeddingConfig(n=3, d=2, k=4)


@pytest.mark.parametrize(
    "d", [4, 5, 6, pytest.param(8, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)]
)
def test_critical_numbers_are_near_the_published_ones(d: int, tmp_path: Path) -> None:
    found = critical.search(Context(tmp_path), CriticalConfig(d=d, strategy="near"))
    assert PUBLISHED_CRITICAL[d] - 2 <= found.n <= PUBLISHED_CRITICAL[d] + 4


@pytest.mark.slow
def test_the_critical_number_grows_with_the_dimension(tmp_path: Path) -> None:
    context = Context(tmp_path)
    for seed in (42, 43):
        numbers = [
            critical.search(context, CriticalConfig(d=d, strategy="near", seed=seed)).n for d in (4, 5, 6, 8, 12)
        ]
        assert numbers == sorted(set(numbers)), numbers
        assert PUBLISHED_CRITICAL[12] - 2 <= numbers[-1] <= PUBLISHED_CRITICAL[12] + 4


@pytest.mark.parametrize("edge", [3, 10, 17, 64])
@pytest.mark.parametrize("start", [2, 9, 40])
@pytest.mark.parametrize("strategy", ["gallop", "near"])
def test_both_strategies_find_the_edge(
    edge: int, start: int, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def pretend(context: Context, options: FreeEmbeddingConfig) -> critical.Trial:
        tried.append(options.n)
        return critical.Trial(options.n, options.d, options.n <= edge, 1, 1.0, 0.7, 1, 0.0)

    monkeypatch.setattr(critical, "train", pretend)
    found = critical.search(Context(tmp_path), CriticalConfig(d=4, start=start, strategy=strategy, sweep=(-4, 5)))
    assert found.n == edge == found.largest_solved
    assert len(tried) == len(set(tried)), "nothing is trained twice"
    assert {n for n in range(edge - 4, edge + 6) if n >= 2} <= set(tried)
    if strategy == "gallop":
        assert len(tried) <= 10 + 3 * 7


def test_a_search_goes_on_with_what_the_store_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = CriticalConfig(d=3, start=4, strategy="near")
    first = critical.search(Context(tmp_path), options, max_iter=3000)
    need = critical.training_need(FreeEmbeddingConfig(n=4, d=3, max_iter=3000))
    artifact = Context(tmp_path).store.find(need.recipe)
    assert artifact is not None
    assert first.trials[-1].n == 4
    assert json.loads((artifact.path / "result.json").read_text())["solved"] == first.trials[-1].solved
    assert np.load(artifact.path / "queries.npy").shape == (6, 3)

    def fail(*anything: object) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(critical, "fit_wanted", fail)
    assert critical.search(Context(tmp_path), options, max_iter=3000) == first


def test_a_search_gives_up_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="8 dimensions return every set of 2 among 9 documents"):
        critical.search(Context(tmp_path), CriticalConfig(d=8, start=8, strategy="near", largest=9))


# Weights of terms


def in_reach_of_terms(points: np.ndarray, chosen: list[int]) -> bool:
    """The whole program at once, over all documents and all terms."""
    inside = np.isin(np.arange(len(points)), chosen)
    if inside.all():
        return True
    d = points.shape[1]
    above = np.column_stack([-points[inside], np.ones((inside.sum(), 2))])
    below = np.column_stack([points[~inside], -np.ones((~inside).sum()), np.zeros((~inside).sum())])
    bounds = [(0, 1)] * d + [(None, None), (0, None)]
    matrix = np.concatenate([above, below])
    found = linprog([0.0] * (d + 1) + [-1.0], A_ub=matrix, b_ub=np.zeros(len(matrix)), bounds=bounds)
    return bool(found.x[-1] > 1e-7)


def test_weights_of_terms_reach_what_the_whole_program_says() -> None:
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(60):
        n, d = int(rng.integers(2, 12)), int(rng.integers(1, 6))
        points = rng.integers(0, 3, (n, d)) * (rng.random((n, d)) < 0.5)
        chosen = rng.choice(n, rng.integers(1, min(n, 3) + 1), replace=False)
        expected = in_reach_of_terms(points.astype(float), chosen.tolist())
        for documents in (points.astype(float), csr_matrix(points.astype(np.float32))):
            found = reach(documents, chosen, nonnegative=True)
            assert found.reachable == expected, (points, chosen)
            if expected and len(chosen) < n:
                scores = points @ found.query
                assert (found.query >= 0).all()
                assert found.margin == pytest.approx(scores[chosen].min() - np.delete(scores, chosen).max())
                assert found.margin > 0
        answers.append(expected)
    assert 10 < sum(answers) < 50, "both answers are tried"


def test_a_query_of_terms_cannot_ask_for_what_another_document_has_more_of() -> None:
    points = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert reach(points, np.array([0]), nonnegative=True).reachable
    assert not reach(points, np.array([1]), nonnegative=True).reachable
    assert reach(points, np.array([1])).reachable, "a weight below 0 would do it"
    assert not reach(points, np.array([1, 2]), nonnegative=True).reachable
    assert not reach(csr_matrix((3, 4)), np.array([0]), nonnegative=True).reachable, "documents without terms"


def test_a_large_vocabulary_takes_the_memory_of_the_terms_that_count() -> None:
    rng = np.random.default_rng(1)
    documents = random_matrix(5000, 100_000, 0.0005, format="csr", random_state=rng, dtype=np.float32)
    tracemalloc.start()
    found = reach(documents, np.array([3, 17, 40]), nonnegative=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.reachable
    assert peak < 40e6, "dense, they would take 4 GB"


# Judgments of any kind


def test_loss_and_gradient_of_sets_of_several_sizes_are_those_of_automatic_differentiation() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    sets = [rng.choice(700, rng.integers(1, 9), replace=False).tolist() for _ in range(800)]
    vectors = rng.normal(size=(1500, 4))
    gradient = np.empty_like(vectors)
    mine = InfoNce(Wanted.from_sets(sets), 700, 0.5, bounded=False)(vectors[:800], vectors[800:], gradient)
    leaf = torch.tensor(vectors, requires_grad=True)
    logits = torch.log_softmax(leaf[:800] @ leaf[800:].T / 0.5, dim=1)
    theirs = -torch.stack([logits[query, rows].mean() for query, rows in enumerate(sets)]).mean()
    theirs.backward()
    assert mine == pytest.approx(theirs.item(), rel=1e-10)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-12)


def test_hits_are_counted_by_the_size_of_each_set() -> None:
    documents = np.eye(4)
    wanted = Wanted.from_sets([[0], [0, 1], [1, 2, 3]])
    queries = np.array([[1.0, 0, 0, 0], [1, 0, 0.5, 0], [0, 1, 1, 1]])
    assert count_hits(queries, documents, wanted) == (5, 2)


def test_what_is_the_same_in_judgments_is_told_apart_no_more() -> None:
    # Two queries want the same; 1 and 2 are wanted by the same query; 5 and 6 by none.
    core = core_of(Wanted.from_sets([[0, 4], [4, 0], [1, 2, 4], [3]]), 7)
    assert [part.tolist() for part in core.wanted.distinct()] == [[0, 3], [1, 3], [2]]
    assert (core.documents, core.enough) == (5, 4)
    whole = core_of(Wanted.from_sets([[0, 1, 2]]), 3)
    assert (whole.wanted.queries, whole.documents, whole.enough) == (1, 1, 1)
    apart = core_of(Wanted.from_sets([[3 * query, 3 * query + 1, 3 * query + 2] for query in range(30)]), 90)
    assert (apart.wanted.queries, apart.documents, apart.enough) == (30, 30, 2)


def test_the_dimension_of_judgments_is_searched_and_kept(tmp_path: Path) -> None:
    context = Context(tmp_path / "store")
    every = Wanted.from_sets(all_sets(9, 2))
    found = search_dimension(context, every, 9, NeededConfig())
    assert found.d == 4, "as the critical number of 4 dimensions, 9, says"
    assert (found.sets, found.documents, found.k, found.enough) == (36, 9, 2, 4)
    assert [trial.d for trial in found.trials] == [1, 2, 3, 4]
    assert [trial.whole for trial in found.trials][-1] == 36
    assert all(trial.whole < 36 for trial in found.trials[:-1])
    built = len(list((tmp_path / "store").rglob("result.json")))
    assert search_dimension(context, every, 9, NeededConfig()) == found
    assert len(list((tmp_path / "store").rglob("result.json"))) == built == 4
    only = search_dimension(context, every, 9, NeededConfig(dimensions=(2, 6), queries=20))
    assert ([trial.d for trial in only.trials], only.sets) == ([2, 6], 20)
    assert search_dimension(context, Wanted.from_sets([[0]]), 1, NeededConfig()).d == 1

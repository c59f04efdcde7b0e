"""Matching pursuit against scikit-learn and theorems; the other methods against their definitions; the paper's premise."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from spaniel_omp_tokenizer import maps, nearest
from spaniel_omp_tokenizer.pursuit import combine, pursue
from spaniel_omp_tokenizer.rotary import Rotary, position, rope_pursuit, turn


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(indices: torch.Tensor, weights: torch.Tensor, atoms: int) -> np.ndarray:
    made = torch.zeros(len(indices), atoms, dtype=weights.dtype).scatter_add_(1, indices, weights)
    return made.numpy()


@pytest.mark.parametrize("k", [1, 4, 8, 16, 32])
def test_it_agrees_with_scikit_learn(k: int) -> None:
    from sklearn.linear_model import orthogonal_mp

    atoms, targets = nearest.unit(drawn(400, 64)), drawn(50, 64, seed=1)
    found = pursue(targets, atoms, 32)
    ours = dense(*found.weights(k), 400)
    theirs = orthogonal_mp(atoms.T.numpy(), targets.T.numpy(), n_nonzero_coefs=k).T
    assert np.array_equal(ours != 0, theirs != 0)
    assert np.abs(ours - theirs).max() < 1e-10


def test_the_residual_falls_and_is_orthogonal_to_what_was_chosen() -> None:
    atoms, targets = drawn(300, 48, dtype=torch.float32), drawn(40, 48, seed=1, dtype=torch.float32)
    for normalise in (False, True):
        found = pursue(targets, atoms, 24, normalise=normalise)
        assert bool((found.norms.diff(dim=1) <= 0).all())
        assert all(len(set(row)) == 24 for row in found.indices.tolist())
        indices, weights = found.weights()
        left = targets - combine(indices, weights, atoms)
        assert torch.allclose(left.norm(dim=1), found.norms[:, -1], rtol=1e-4)
        products = torch.bmm(nearest.unit(atoms)[indices], left[:, :, None])
        assert float(products.abs().max() / targets.norm(dim=1).max()) < 1e-5


def test_more_atoms_than_dimensions_stop_at_the_rank() -> None:
    atoms, targets = drawn(200, 16, dtype=torch.float32), drawn(30, 16, seed=1, dtype=torch.float32)
    found = pursue(targets, atoms, 70)
    indices, weights = found.weights()
    assert int((found.indices >= 0).sum(1).max()) <= 16
    assert float(weights.abs().max()) < 100
    assert torch.allclose(combine(indices, weights, atoms), targets, atol=1e-4)
    flat = torch.cat([atoms[:, :5], torch.zeros(200, 11)], 1)
    assert int((pursue(targets, flat, 20).indices >= 0).sum(1).max()) == 5
    assert int((pursue(torch.zeros(3, 16), atoms, 4).indices >= 0).sum()) == 0
    with pytest.raises(ValueError, match="201 of 200"):
        pursue(targets, atoms, 201)


def test_a_rotation_of_the_base_rotates_the_result() -> None:
    for dtype, near in ((torch.float32, 1e-5), (torch.float64, 1e-13)):
        atoms, targets = drawn(500, 32, dtype=dtype), drawn(60, 32, seed=1, dtype=dtype)
        rotation = torch.linalg.qr(drawn(32, 32, seed=2)).Q.to(dtype)
        indices, weights = pursue(targets, atoms, 12).weights()
        there = combine(indices, weights, atoms @ rotation)
        assert float((there - combine(indices, weights, atoms) @ rotation).abs().max()) < near


def test_blocks_of_atoms_and_batches_of_targets_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms, targets = drawn(3000, 24), drawn(50, 24, seed=1)
    whole = pursue(targets, atoms, 10)
    monkeypatch.setattr("spaniel_omp_tokenizer.pursuit.SCORES", 1)
    parts = [pursue(part, atoms, 10) for part in targets.split(7)]
    assert torch.equal(torch.cat([part.indices for part in parts]), whole.indices)
    assert torch.allclose(torch.cat([part.weights()[1] for part in parts]), whole.weights()[1], atol=1e-10)
    whole_numbers = (4 * atoms).round()  # their products are exact, so that twins are equal
    twins = pursue((4 * targets).round(), torch.cat([whole_numbers, whole_numbers]), 1)
    assert int(twins.indices.max()) < 3000


def test_the_premise_of_the_paper_on_data_that_meet_it() -> None:
    """Latent meanings seen by two models: matching pursuit finds the base's vectors, averages of neighbours do not."""
    meanings = drawn(1200, 24)
    donor = meanings @ drawn(24, 48, seed=1) + 0.05 * drawn(1200, 48, seed=2)
    base = meanings @ drawn(24, 64, seed=3) + 0.05 * drawn(1200, 64, seed=4)
    known, new, truth = donor[:1000], donor[1000:], base[1000:]

    def cosine(made: torch.Tensor) -> float:
        return float(torch.nn.functional.cosine_similarity(made, truth, dim=1).mean())

    found = pursue(new, known, 24)
    by_k = {k: cosine(combine(*found.weights(k), base[:1000])) for k in (1, 4, 8, 16, 24)}
    near = cosine(combine(*nearest.interpolate(new, known, 64, "euclidean", "distance"), base[:1000]))
    mean = cosine(base[:1000].mean(0).expand_as(truth))
    assert list(by_k.values()) == sorted(by_k.values())
    assert by_k[16] > 0.99 > near > mean + 0.5
    assert near > by_k[1]


# The methods that it is compared with


def test_averages_of_neighbours_are_what_they_are_called() -> None:
    atoms, targets = drawn(40, 12), drawn(9, 12, seed=1)
    order = torch.cdist(targets, atoms).argsort(dim=1)[:, :5]
    indices, weights = nearest.interpolate(targets, atoms, 5, "euclidean", "distance")
    assert torch.equal(indices, order)
    assert torch.allclose(
        weights * torch.cdist(targets, atoms).gather(1, order),
        (weights * 0 + 1) / (1 / torch.cdist(targets, atoms).gather(1, order)).sum(1, keepdim=True),
    )
    _, squares = nearest.interpolate(targets, atoms, 5, "euclidean", "least-squares")
    for row in range(9):
        expected = np.linalg.lstsq(atoms[order[row]].T.numpy(), targets[row].numpy(), rcond=None)[0]
        assert np.allclose(squares[row], expected)
    _, inside = nearest.interpolate(targets, atoms, 5, "euclidean", "barycentric")
    assert torch.allclose(inside.sum(1), torch.ones(9, dtype=torch.float64))
    for row in range(9):  # stationary under every change that keeps the sum
        gradient = atoms[order[row]] @ (inside[row] @ atoms[order[row]] - targets[row])
        assert float((gradient - gradient.mean()).abs().max()) < 1e-9
    many = nearest.interpolate(targets, atoms, 40, "cosine", "distance")
    assert many[0].shape == (9, 40)


def test_sparsemax_is_the_projection_onto_the_simplex() -> None:
    from scipy.optimize import minimize

    scores = drawn(6, 5)
    ours = nearest.sparsemax(scores)
    assert torch.allclose(ours.sum(1), torch.ones(6, dtype=torch.float64))
    for row in range(6):
        peer = minimize(
            lambda p, z: ((p - z) ** 2).sum(),
            np.full(5, 0.2),
            args=(scores[row].numpy(),),
            bounds=[(0, 1)] * 5,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14},
        ).x
        assert np.allclose(ours[row], peer, atol=1e-5)


def test_averages_stay_in_the_hull_and_matching_pursuit_leaves_it() -> None:
    atoms, targets = drawn(300, 64), 3 * drawn(20, 64, seed=1)
    for weights in (nearest.similar(targets, atoms), nearest.focus(targets, atoms), nearest.wechsel(targets, atoms)[1]):
        assert bool((weights >= 0).all())
        assert torch.allclose(weights.sum(1), torch.ones(20, dtype=torch.float64))
    indices, weights = pursue(targets, atoms, 32).weights()
    assert bool((weights < 0).any())
    lengths = combine(indices, weights, atoms).norm(dim=1) / targets.norm(dim=1)
    shrunk = (nearest.similar(targets, atoms) @ atoms).norm(dim=1) / targets.norm(dim=1)
    assert float(lengths.median()) > 0.9 > 0.3 > float(shrunk.median())


@pytest.mark.parametrize("weigh", [nearest.similar, nearest.focus])
def test_averages_a_few_targets_at_a_time_are_those_of_all(monkeypatch: pytest.MonkeyPatch, weigh: Any) -> None:
    atoms, targets, base = drawn(300, 64), drawn(50, 64, seed=1), drawn(300, 16, seed=2)
    whole = weigh(targets, atoms) @ base
    first = [nearest.wechsel(targets, atoms), nearest.interpolate(targets, atoms, 8, "euclidean", "distance")]
    for scores in (1, 900, 2**20):
        monkeypatch.setattr(nearest, "SCORES", scores)
        assert torch.allclose(nearest.averages(targets, atoms, base, weigh), whole, rtol=1e-12)
        again = [nearest.wechsel(targets, atoms), nearest.interpolate(targets, atoms, 8, "euclidean", "distance")]
        for (indices, weights), (same, others) in zip(first, again, strict=True):
            assert torch.equal(indices, same)
            assert torch.allclose(weights, others, rtol=1e-9)
    assert nearest.averages(targets[:0], atoms, base, weigh).shape == (0, 16)


def test_similarities_of_many_anchors_are_held_a_few_at_a_time() -> None:
    # 128 targets and 110,000 anchors: 298 MB where all are held, of a batch of 512 more than 1 GB.
    script = """
import resource, torch
from spaniel_omp_tokenizer import nearest
torch.set_num_threads(1)
atoms, targets, base = torch.randn(110_000, 8), torch.randn(128, 8), torch.randn(110_000, 8)
def run(part):
    for weigh in (nearest.similar, nearest.focus):
        nearest.averages(part, atoms, base, weigh)
    nearest.wechsel(part, atoms)
    for metric in ("euclidean", "cosine"):
        nearest.interpolate(part, atoms, 8, metric, "distance")
run(targets[:1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(targets)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 60_000, "kB beyond what one target takes"


def test_maps_are_exact_where_one_space_is_a_rotation_of_the_other() -> None:
    atoms, targets = drawn(200, 16) * torch.arange(1, 17), drawn(10, 16, seed=1)
    rotation = torch.linalg.qr(drawn(16, 16, seed=2)).Q
    for make in (maps.landmark_pca, lambda a, b: maps.sparse_basis(a, b, 16)):
        assert torch.allclose(make(atoms, atoms @ rotation + 1)(targets), targets @ rotation + 1, atol=1e-8)
    wider = drawn(16, 24, seed=3)
    assert torch.allclose(maps.sparse_basis(atoms, atoms @ wider, 16)(targets), targets @ wider, atol=1e-8)


def test_positions_are_found_and_turned_tokens_are_turned_in_the_base() -> None:
    donor, own = Rotary(2, 10_000.0), Rotary(4, 500.0)
    atoms, base = drawn(50, 32), drawn(50, 64, seed=1)
    places = torch.tensor([0.4, -0.9, 0.0, 2.0, 1.3], dtype=torch.float64)
    turned = turn(atoms[:5], places, donor)
    assert torch.allclose(turned.norm(dim=1), atoms[:5].norm(dim=1))
    assert torch.allclose(position(atoms[:5], turned, donor), places)
    # The half-split rotation of transformers.
    from transformers.models.llama.modeling_llama import rotate_half

    angles = places[:, None] * donor.frequencies(32)
    cos, sin = (torch.cat([part, part], 1)[:, None] for part in (angles.cos(), angles.sin()))
    heads = atoms[:5].reshape(5, 2, 16)
    assert torch.allclose((heads * cos + rotate_half(heads) * sin).reshape(5, 32), turned)
    # Long atoms, so that each target's own is chosen although it is turned.
    small = turn(nearest.unit(atoms[:5]), places / 10, donor)
    _, weights, made = rope_pursuit(small, nearest.unit(atoms), base, 1, donor, own)
    assert torch.allclose(weights[:, 0], torch.ones(5, dtype=torch.float64))
    assert torch.allclose(made, turn(base[:5], places / 10, own))

"""The losses: published constants, torch's own divergence, floors, fractions by hand, and angles."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import Context, Stage, UsageError
from spaniel.testing import contract
from spaniel_mvp.objectives import ANCHORS
from spaniel_train.batch import Batch, Outputs, collate
from spaniel_train.rows import Row, score_keys
from torch.nn import functional

test_inverse_rank = contract("objective/inverse-rank")
test_anchor_orthogonal = contract("objective/anchor-orthogonal")
TARGET = (0.366, 0.196, 0.159, 0.143, 0.135)
"""Of five texts in their order, τ = 0.8."""


@pytest.fixture
def context(tmp_path: Any) -> Context:
    return Context(tmp_path / "store", device="cpu", offline=True)


def lists(grades: list[list[float]]) -> Batch:
    """A batch of lists with these teacher's scores; the first text of each is the relevant one."""
    rows = []
    for number, given in enumerate(grades):
        texts = [f"text {number} {place}" for place in range(len(given))]
        scores = dict(zip(score_keys(f"q{number}", texts), given, strict=True))
        rows.append(Row(f"q{number}", (texts[0],), tuple(texts[1:]), scores))
    return collate(rows, {}, 1, 99, np.random.default_rng(0))


def objective(context: Context, **options: Any) -> Any:
    return context.create("objective", Stage("inverse-rank", **options))


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def test_the_target_is_the_published_one(context: Context) -> None:
    """Check 5, and the entropy of the target, which no scores can go below."""
    batch = lists([[5.0, 4.0, 3.0, 2.0, 1.0]])
    made = objective(context)
    ranks, counts = made.ranks(batch)
    assert ranks.tolist() == [[1, 2, 3, 4, 5]]
    assert counts.all()
    target = softmax(np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]) / 0.8)
    assert np.allclose(target, TARGET, atol=6e-4)
    scores = torch.tensor(np.log(target) * 0.8, dtype=torch.float32)[None]
    lowest = float(made.loss(Outputs(scores), batch))
    assert abs(lowest - 1.529) < 5e-4
    assert abs(lowest + (target * np.log(target)).sum()) < 1e-6


@pytest.mark.parametrize("target", ["inverse-rank", "exp"])
def test_listnet_is_the_divergence_and_the_entropy(context: Context, target: str) -> None:
    """Check 4."""
    rng = np.random.default_rng(0)
    batch = lists([rng.permutation(7).tolist() for _ in range(4)])
    scores = torch.from_numpy(rng.standard_normal((4, 7)).astype(np.float32)) * 3
    ranks, _ = objective(context).ranks(batch)
    wanted = (1 / ranks if target == "inverse-rank" else torch.exp(1 - ranks)) / 0.8
    entropy = -(wanted.softmax(1) * wanted.log_softmax(1)).sum(1).mean()
    divergence = functional.kl_div((scores / 0.8).log_softmax(1), wanted.softmax(1), reduction="batchmean")
    loss = objective(context, target=target).loss(Outputs(scores), batch)
    assert torch.allclose(loss, divergence + entropy, atol=1e-6)


def test_the_reference_takes_the_softmax_twice_and_has_a_floor(context: Context) -> None:
    """Check 4: NumPy, and the lowest value for a one-hot target, 0.9048 of five texts."""
    rng = np.random.default_rng(1)
    batch = lists([[5.0, 4.0, 3.0, 2.0, 1.0]])
    reference = objective(context, compat="reference")
    scores = rng.standard_normal(5)
    target = softmax(np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]) / 0.8)
    expected = -(target * np.log(softmax(softmax(scores / 0.8)))).sum()
    loss = float(reference.loss(Outputs(torch.tensor(scores, dtype=torch.float32)[None]), batch))
    assert abs(loss - expected) < 1e-6
    for count, floor in ((5, 0.9048), (20, 2.078), (100, 3.622)):
        # A tiny τ makes the target one-hot, and the first softmax as well.
        hot = objective(context, compat="reference", tau=1e-3)
        scores = torch.tensor([[1.0] + [0.0] * (count - 1)])
        many = lists([list(range(count, 0, -1))])
        assert abs(float(hot.loss(Outputs(scores), many)) - floor) < 1e-3
        assert abs(float(objective(context, tau=1e-3).loss(Outputs(scores), many))) < 1e-6, "the right one goes to 0"


def test_top_one_probabilities_by_hand(context: Context) -> None:
    """Check 10: scores ln 1, ln 2, ln 5 with τ = 1 are the probabilities 1/8, 2/8, 5/8, exactly."""
    scores = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    batch = lists([[1.0, 2.0, 5.0]])
    made = objective(context, tau=1.0, lift=False)
    ranks, _ = made.ranks(batch)
    assert ranks.tolist() == [[3, 2, 1]]
    probabilities = [Fraction(1, 8), Fraction(2, 8), Fraction(5, 8)]
    target = softmax(np.array([1 / 3, 1 / 2, 1.0]))
    expected = -sum(float(t) * np.log(float(p)) for t, p in zip(target, probabilities, strict=True))
    assert abs(float(made.loss(Outputs(scores), batch)) - expected) < 1e-6


def test_the_relevant_text_is_lifted(context: Context) -> None:
    batch = lists([[1.0, 9.0, 5.0], [2.0, 2.0, 7.0]])
    assert objective(context).ranks(batch)[0].tolist() == [[1, 2, 3], [1, 3, 2]]
    assert objective(context, lift=False).ranks(batch)[0].tolist() == [[3, 1, 2], [2, 3, 1]]
    assert objective(context, grades="relevant").ranks(batch)[0].tolist() == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("loss", ["ranknet", "ranknet-weighted"])
def test_ranknet_is_a_sum_over_pairs(context: Context, loss: str) -> None:
    rng = np.random.default_rng(2)
    batch = lists([[4.0, 3.0, 9.0, 1.0], [0.0, 3.0, 2.0]])
    scores = rng.standard_normal((2, 4)).astype(np.float32)
    made = objective(context, loss=loss)
    ranks = made.ranks(batch)[0].numpy()
    expected = 0.0
    for row, count in enumerate((4, 3)):
        for i, j in itertools.permutations(range(count), 2):
            if ranks[row, i] < ranks[row, j]:
                weight = 1 / (ranks[row, i] + ranks[row, j]) if loss == "ranknet-weighted" else 1
                expected += weight * np.log1p(np.exp(scores[row, j] - scores[row, i])) / 2
    assert abs(float(made.loss(Outputs(torch.from_numpy(scores)), batch)) - expected) < 1e-5


@pytest.mark.parametrize("options", [{}, {"compat": "reference"}, {"loss": "ranknet"}])
def test_what_is_filled_up_does_not_count(context: Context, options: dict[str, Any]) -> None:
    short, long = [[3.0, 2.0, 1.0]], [[3.0, 2.0, 1.0, 0.5, 0.1]]
    made = objective(context, **options)
    rng = np.random.default_rng(3)
    scores = torch.from_numpy(rng.standard_normal((2, 5)).astype(np.float32)).requires_grad_()
    both = lists([*short, *long])
    loss = made.loss(Outputs(scores), both)
    plain = scores.detach()
    apart = [float(made.loss(Outputs(plain[:1, :3]), lists(short))), float(made.loss(Outputs(plain[1:]), lists(long)))]
    assert abs(float(loss.detach()) - sum(apart) / 2) < 1e-6
    loss.backward()
    assert scores.grad is not None
    assert (scores.grad[0, 3:] == 0).all()
    assert scores.grad.isfinite().all()


def test_angles(context: Context) -> None:
    """Check 4: 0 for anchors at right angles whatever their lengths, m (m - 1) for equal ones."""
    made = context.create("objective", "anchor-orthogonal")
    right = torch.eye(4)[None] * torch.tensor([1.0, 2.0, 3.0, 0.5])[None, :, None]
    equal = torch.ones(1, 4, 6)
    nothing = lists([[1.0, 2.0]])
    outputs = [Outputs(torch.zeros(1, 2), more={ANCHORS: one}) for one in (right, equal, equal[:, :1])]
    values = [float(made.loss(one, nothing)) for one in outputs]
    assert np.allclose(values, [0.0, 12.0, 0.0], atol=1e-5)
    rng = np.random.default_rng(4)
    anchors = rng.standard_normal((3, 4, 8))
    rows = anchors / np.linalg.norm(anchors, axis=2, keepdims=True)
    expected = np.mean([np.linalg.norm(one @ one.T - np.eye(4), "fro") ** 2 for one in rows])
    given = Outputs(torch.zeros(3, 2), more={ANCHORS: torch.tensor(anchors, dtype=torch.float32)})
    assert abs(float(made.loss(given, nothing)) - expected) < 1e-5
    with pytest.raises(UsageError, match="anchors"):
        made.loss(Outputs(torch.zeros(1, 2)), nothing)


def test_options_that_do_not_go_together(context: Context) -> None:
    with pytest.raises(UsageError, match="listnet"):
        context.bind("objective", Stage("inverse-rank", loss="ranknet", compat="reference"))

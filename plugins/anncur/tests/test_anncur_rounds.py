"""The search over a matrix at hand: exactness, budgets, and the two forms of CUR."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from spaniel.data import topk
from spaniel_anncur.anchors import choose_anchors
from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Found, Items, Plan, round_sizes, search
from spaniel_anncur.shares import SHARES, choose_share

PINV = Solver()


def _low_rank(rank: int, queries: int, items: int, noise: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=(queries, rank)) @ rng.normal(size=(rank, items))
    return exact + noise * rng.normal(size=exact.shape)


class Asked:
    """Scores from a matrix, and remembers every pair."""

    def __init__(self, scores: NDArray[Any]) -> None:
        self.scores = scores.astype(np.float32)
        self.pairs: list[tuple[int, int]] = []

    def __call__(self, owners: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        self.pairs += list(zip(owners.tolist(), items.tolist(), strict=True))
        return self.scores[owners, items]


def _search(
    known: NDArray[Any], asked: NDArray[Any], plan: Plan, solver: Solver = PINV, anchors: Any = None, **more: Any
) -> tuple[Found, Asked]:
    """Search for the lines of ``asked``; features are the columns of ``known``."""
    ask, count = Asked(asked), len(asked)
    begin = np.full((count, 0), -1, np.int64) if anchors is None else np.tile(anchors, (count, 1))
    rngs = [np.random.default_rng(number) for number in range(count)]
    means = known.mean(axis=0).astype(np.float32) if more.pop("center", False) else None
    items = Items(np.ascontiguousarray(known.T, np.float32), means)
    return search(items, ask, begin, plan, solver, rngs, **more), ask


def _recall(found: Found, exact: NDArray[Any], k: int) -> float:
    best, _ = topk(exact.astype(np.float32), k)
    hits = []
    for line, wanted in enumerate(best):
        order = np.argsort(-found.scores[line], kind="stable")
        hits.append(np.isin(wanted, found.seen[line][order][: found.seen.shape[1]]).mean())
    return float(np.mean(hits))


def test_a_matrix_of_low_rank_is_recovered() -> None:
    """Check 1: with k_q, k_i ≥ r the estimates are exact and recall is 1; with k_i < r they are not."""
    scores = _low_rank(20, 90, 400)
    known, test = scores[:40], scores[40:]
    rng = np.random.default_rng(1)
    for count, exact in ((30, True), (20, True), (12, False)):
        anchors = rng.choice(400, count, replace=False)
        for k in (1, 10, 50):
            found, _ = _search(known, test, Plan((count, k)), Solver(rcond=1e-6), anchors)
            assert (_recall(found, test, k) == 1) is exact, (count, k)
        first = Items(known.T.astype(np.float64))
        vectors = first.fit(Solver(rcond=1e-9), np.tile(anchors, (50, 1)), test[:, anchors])
        error = np.abs(vectors @ known - test).max() / np.abs(test).max()
        assert bool(error < 1e-6) is exact


def test_rows_in_another_order_change_nothing() -> None:
    scores, order = _low_rank(8, 60, 200, 0.1), np.random.default_rng(2).permutation(30)
    anchors = np.arange(0, 200, 10)
    one, _ = _search(scores[:30], scores[30:], Plan((20, 20)), anchors=anchors)
    other, _ = _search(scores[:30][order], scores[30:], Plan((20, 20)), anchors=anchors)
    assert np.array_equal(one.seen, other.seen)


def test_a_budget_of_everything_is_brute_force() -> None:
    """Check 2: with a budget of m the result is the exact ranking; with all documents as anchors estimates are exact."""
    scores = _low_rank(5, 30, 60, 0.5)
    for plan in (Plan((10, 50)), Plan(round_sizes(60, 5)), Plan(round_sizes(60, 3, 0.2))):
        found, _ = _search(scores[:10], scores[10:], plan)
        assert (np.sort(found.seen, axis=1) == np.arange(60)).all()
        assert np.array_equal(np.take_along_axis(scores[10:], found.seen, 1).astype(np.float32), found.scores)
    items = Items(np.ascontiguousarray(scores[:10].T, np.float32))
    vectors = items.fit(Solver(rcond=1e-12), np.tile(np.arange(60), (10, 1)), scores[:10].astype(np.float32))
    assert np.abs(items.estimate(vectors) - scores[:10]).max() < 1e-4


@pytest.mark.parametrize("plan", [Plan((25, 75)), Plan(round_sizes(100, 7)), Plan((40, 30, 30), "softmax", 0.5)])
def test_the_budget_is_kept_and_no_pair_scored_twice(plan: Plan) -> None:
    """Check 3."""
    scores = _low_rank(8, 50, 300, 0.3)
    found, asked = _search(scores[:20], scores[20:], plan)
    assert len(asked.pairs) == len(set(asked.pairs)) == 30 * 100
    counts = np.bincount([owner for owner, _ in asked.pairs])
    assert (counts == 100).all()
    assert (found.seen >= 0).all()


def test_the_two_forms_of_cur_agree() -> None:
    """Check 4: ``e (U R)`` is ``(e U) R``; ridge tends to the pseudo-inverse; and both systems of ridge give the same."""
    scores = _low_rank(12, 70, 150, 0.2)
    known, test = scores[:30], scores[30:]
    anchors = np.arange(0, 150, 7)
    united = np.linalg.pinv(known[:, anchors])
    expected = test[:, anchors] @ (united @ known)
    vectors = Items(known.T).fit(Solver(rcond=1e-15), np.tile(anchors, (40, 1)), test[:, anchors])
    assert np.abs(vectors @ known - expected).max() < 1e-8
    apart = []
    for weight in (1e-3, 1e-6, 1e-9):
        ridge = Solver("ridge", ridge=weight).fit(known[:, anchors].T, test[:, anchors])
        apart.append(np.abs(ridge - vectors).max() / np.abs(vectors).max())
    assert apart[0] > 100 * apart[1] > 10_000 * apart[2]
    assert apart[2] < 1e-5
    for count in (10, 60):  # fewer and more documents seen than anchor queries
        seen = known[:, :count].T
        weight = 0.05 * np.trace(seen @ seen.T) / 30
        plain = np.linalg.solve(seen.T @ seen + weight * np.eye(30), seen.T @ test[:, :count].T).T
        assert np.abs(Solver("ridge", ridge=0.05).fit(seen, test[:, :count]) - plain).max() < 1e-10


def test_queries_are_fitted_as_if_alone() -> None:
    """Of each query its own documents; places without one count for nothing."""
    rng = np.random.default_rng(3)
    scores = _low_rank(6, 40, 80, 0.2).astype(np.float32)
    items = Items(np.ascontiguousarray(scores[:15].T), scores[:15].mean(axis=0))
    seen = np.stack([rng.choice(80, 12, replace=False) for _ in range(25)])
    seen[3, 7:] = -1
    values = np.where(seen >= 0, np.take_along_axis(scores[15:], seen.clip(min=0), 1), 99.0).astype(np.float32)
    for solver in (Solver(), Solver("ridge")):
        together = items.fit(solver, seen, values)
        for query in range(25):
            held = seen[query] >= 0
            alone = items.fit(solver, seen[query : query + 1, held], values[query : query + 1, held])
            assert np.abs(together[query] - alone[0]).max() < 1e-9


def test_near_as_many_anchors_as_queries_the_fit_breaks_down() -> None:
    """Check 5's mechanism: without a cut-off the square system blows up; with one it does not."""
    scores = _low_rank(15, 160, 500, 0.3, seed=4)
    known, test = scores[:100], scores[100:]
    anchors = np.random.default_rng(0).choice(500, 100, replace=False)
    recalls = {}
    for rcond in (1e-15, 1e-2):
        found, _ = _search(known, test, Plan((100, 100)), Solver(rcond=rcond), anchors)
        recalls[rcond] = _recall(found, test, 50)
    assert recalls[1e-15] < recalls[1e-2] - 0.1


def test_adaptive_rounds_find_more_than_fixed_anchors() -> None:
    scores = _low_rank(15, 140, 600, 1.0, seed=5)
    known, test = scores[:60], scores[60:]
    fixed = [
        _recall(
            _search(known, test, Plan((size, 80 - size)), anchors=np.random.default_rng(s).choice(600, size, False))[0],
            test,
            10,
        )
        for size in (20, 40, 60)
        for s in range(3)
    ]
    adaptive = _recall(_search(known, test, Plan(round_sizes(80, 5)))[0], test, 10)
    assert adaptive > max(fixed)


def test_softmax_at_no_temperature_takes_the_best() -> None:
    """Check 10."""
    scores = _low_rank(8, 60, 200, 0.3)
    best, _ = _search(scores[:20], scores[20:], Plan(round_sizes(60, 4)))
    cold, _ = _search(scores[:20], scores[20:], Plan(round_sizes(60, 4), "softmax", 1e-9))
    warm, _ = _search(scores[:20], scores[20:], Plan(round_sizes(60, 4), "softmax", 3.0))
    assert np.array_equal(best.seen, cold.seen)
    assert not np.array_equal(best.seen, warm.seen)
    draws = np.random.default_rng(0).gumbel(size=(20_000, 3)) + np.log([0.5, 0.3, 0.2])
    assert np.abs(np.bincount(draws.argmax(axis=1)) / 20_000 - [0.5, 0.3, 0.2]).max() < 0.015


def test_means_of_documents_are_taken_off_and_added_again() -> None:
    """A score that all queries share, by document, costs no rank."""
    offsets = 50 * np.random.default_rng(6).normal(size=300)
    scores = _low_rank(5, 50, 300) + offsets
    anchors = np.arange(0, 300, 40)
    known = scores[:20]
    items = Items(np.ascontiguousarray(known.T, np.float32), known.mean(axis=0).astype(np.float32))
    vectors = items.fit(Solver(rcond=1e-4), np.tile(anchors, (30, 1)), scores[20:, anchors].astype(np.float32))
    assert np.abs(items.estimate(vectors) - scores[20:]).max() < 0.05
    found, _ = _search(known, scores[20:], Plan((8, 20)), anchors=anchors, center=True)
    assert _recall(found, scores[20:], 10) > 0.9


def test_only_candidates_are_scored() -> None:
    scores = _low_rank(6, 30, 100, 0.2)
    allowed = np.random.default_rng(7).random((20, 100)) < 0.3
    found, asked = _search(scores[:10], scores[10:], Plan(round_sizes(50, 5)), candidates=allowed)
    assert all(allowed[pair] for pair in asked.pairs)
    assert ((found.seen >= 0).sum(axis=1) == np.minimum(allowed.sum(axis=1), 50)).all()


def test_sizes_of_rounds_add_up() -> None:
    assert round_sizes(200, 5) == (40,) * 5
    assert round_sizes(7, 3) == (3, 2, 2)
    assert round_sizes(2, 5) == (1, 1)
    assert round_sizes(100, 4, 0.2) == (20, 20, 20, 20, 20)
    for budget in range(1, 40):
        for split in (0.0, 0.3, 0.99):
            sizes = round_sizes(budget, 5, split)
            assert sum(sizes) == budget
            assert min(sizes) > 0


@pytest.mark.parametrize("how", ["random", "kmeans", "leverage"])
def test_anchors_are_distinct_and_as_many_as_asked_for(how: str) -> None:
    features = _low_rank(6, 25, 120, 0.2).T
    for count in (0, 1, 30, 120, 500):
        chosen = choose_anchors(features, count, how, 1)
        assert len(np.unique(chosen)) == len(chosen) == min(count, 120)
        assert np.array_equal(chosen, choose_anchors(features, count, how, 1))
    assert not np.array_equal(choose_anchors(features, 30, how, 1), choose_anchors(features, 30, how, 2))


def test_what_has_all_the_leverage_is_chosen() -> None:
    features = np.full((200, 10), 1e-6)
    special = [5, 50, 150]
    features[special, [0, 1, 2]] = 100.0
    assert set(special) <= set(choose_anchors(features, 5, "leverage", 0).tolist())
    groups = np.repeat(np.eye(4) * 10, 30, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(120, 4))
    assert {int(row) // 30 for row in choose_anchors(groups, 4, "kmeans", 0)} == {0, 1, 2, 3}


def test_the_share_is_chosen_without_new_scores() -> None:
    scores = _low_rank(40, 80, 500, 0.5, seed=8)
    items = Items(np.ascontiguousarray(scores[:60].T, np.float32))
    count = choose_share(items, np.arange(500)[::2], 100, 20, Solver(), 0)
    assert count in [round(100 * share) for share in SHARES]
    assert count == choose_share(items, np.arange(500)[::2], 100, 20, Solver(), 0)

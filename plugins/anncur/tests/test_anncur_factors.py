"""Vectors fitted to a part of a score matrix."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from spaniel.data import DenseVectors, topk
from spaniel_anncur.config import AxnConfig
from spaniel_anncur.factor_matrix import choose_pairs
from spaniel_anncur.factors import Factors, fit_factors, query_vectors
from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Items, Plan, round_sizes, search

RANK, ITEMS, KNOWN, TEST = 32, 600, 200, 40


class World:
    """Scores of low rank and noise, and a dense encoder that sees the factors through noise of its own."""

    def __init__(self, blur: float) -> None:
        rng = np.random.default_rng(0)
        left, right = rng.normal(size=(KNOWN + TEST, RANK)), rng.normal(size=(ITEMS, RANK))
        noise = 0.3 * rng.normal(size=(KNOWN + TEST, ITEMS))
        self.scores = (3 * left @ right.T + noise + 5).astype(np.float32)
        self.queries = (left + blur * rng.normal(size=left.shape)).astype(np.float32)
        self.documents = (right + blur * rng.normal(size=right.shape)).astype(np.float32)

    def fit(self, factors: Literal["transductive", "inductive"], per_query: int = ITEMS // 10) -> Factors:
        documents, queries = DenseVectors(self.documents), self.queries[:KNOWN]
        owners, rows = choose_pairs(queries, documents, per_query, np.random.default_rng(0))
        config = AxnConfig(queries="given", factors=factors)
        return fit_factors(queries, self.documents, owners, rows, self.scores[owners, rows], config, 0)

    def recall(self, items: Items, begin: NDArray[np.int64], solver: Solver, k: int = 20, budget: int = 60) -> float:
        exact = self.scores[KNOWN:]
        rngs = [np.random.default_rng(number) for number in range(TEST)]
        plan = Plan(round_sizes(budget, 5))
        found = search(items, lambda owners, places: exact[owners, places], begin, plan, solver, rngs)
        best, _ = topk(exact, k)
        return float(np.mean([np.isin(best[query], found.seen[query]).mean() for query in range(TEST)]))


@pytest.fixture(scope="module")
def world() -> World:
    return World(0.7)


def test_a_tenth_of_the_scores_beats_few_queries_at_equal_calls(world: World) -> None:
    """Check 8, second half."""
    made = world.fit("transductive")
    items = Items(made.documents)
    own = query_vectors(made.query, world.queries[KNOWN:])
    begin = topk(items.estimate(own.astype(np.float64)), 12)[0].astype(np.int64)
    fitted = world.recall(items, begin, Solver("ridge"))
    few = Items(np.ascontiguousarray(world.scores[: KNOWN // 10].T))  # as many calls
    nothing = np.full((TEST, 0), -1, np.int64)
    adacur = max(world.recall(few, nothing, Solver(how)) for how in ("pinv", "ridge"))
    encoder = topk(DenseVectors(world.queries[KNOWN:]).dot(DenseVectors(world.documents)), 60)[0]
    best, _ = topk(world.scores[KNOWN:], 20)
    reranked = float(np.mean([np.isin(best[query], encoder[query]).mean() for query in range(TEST)]))
    assert fitted > adacur + 0.05
    assert fitted > reranked + 0.02


def test_over_the_rows_of_the_matrix_it_is_adacur(world: World) -> None:
    """Check 8, first half: one engine, and no smoothing by default."""
    items = Items(np.ascontiguousarray(world.scores[:60].T))
    exact, nothing = world.scores[KNOWN:], np.full((TEST, 0), -1, np.int64)
    seen = []
    for own in (None, np.ones((TEST, 60), np.float32)):
        rngs = [np.random.default_rng(number) for number in range(TEST)]
        plan = Plan(round_sizes(60, 5), smoothing=0.0)
        seen.append(search(items, lambda o, p: exact[o, p], nothing, plan, Solver("ridge"), rngs, own=own).seen)
    assert np.array_equal(seen[0], seen[1])


@pytest.mark.parametrize("factors", ["transductive", "inductive"])
def test_fitting_begins_from_the_encoder_and_lowers_the_error(world: World, factors: str) -> None:
    made = world.fit(factors)  # type: ignore[arg-type]
    before, after = made.losses
    assert after < (0.7 if factors == "transductive" else 0.9) * before
    assert made.documents.shape == (ITEMS, RANK + 1)
    again = world.fit(factors)  # type: ignore[arg-type]
    assert np.array_equal(made.documents, again.documents)
    nothing = AxnConfig(queries="given", factors=factors, epochs=1, learning_rate=1e-12)
    owners, rows = choose_pairs(world.queries[:9], DenseVectors(world.documents), 20, np.random.default_rng(0))
    scores = world.scores[owners, rows]
    begun = fit_factors(world.queries[:9], world.documents, owners, rows, scores, nothing, 0)
    assert np.abs(begun.documents[:, :-1] - world.documents).max() < 1e-6
    # Its estimates are then the encoder's inner products under the line that fits them best.
    estimates = query_vectors(begun.query, world.queries[:9]).astype(np.float64) @ begun.documents.T.astype(np.float64)
    products = (world.queries[owners] * world.documents[rows]).sum(axis=1)
    line = np.polyval(np.polyfit(products.astype(np.float64), scores.astype(np.float64), 1), products)
    assert np.abs(estimates[owners, rows] - line).max() < 1e-2


def test_documents_that_were_not_scored_keep_the_encoders_vectors(world: World) -> None:
    documents = DenseVectors(world.documents)
    owners, rows = choose_pairs(world.queries[:5], documents, 8, np.random.default_rng(0))
    config = AxnConfig(queries="given")
    made = fit_factors(world.queries[:5], world.documents, owners, rows, world.scores[owners, rows], config, 0)
    unseen = np.setdiff1d(np.arange(ITEMS), rows)
    assert np.array_equal(made.documents[unseen, :-1], world.documents[unseen])
    assert (made.documents[np.unique(rows), :-1] != world.documents[np.unique(rows)]).any(axis=1).all()


def test_pairs_are_half_the_encoders_best_and_none_comes_twice(world: World) -> None:
    documents = DenseVectors(world.documents)
    owners, rows = choose_pairs(world.queries[:7], documents, 31, np.random.default_rng(0))
    best, _ = topk(DenseVectors(world.queries[:7]).dot(documents), 16)
    for query in range(7):
        mine = rows[owners == query]
        assert len(set(mine.tolist())) == 31
        assert set(best[query].tolist()) <= set(mine.tolist())
    owners, rows = choose_pairs(world.queries[:2], documents[:4], 100, np.random.default_rng(0))
    assert len(rows) == 8

"""Scoring under a budget: in rounds, what is scored next is chosen by what was seen.

ANNCUR, ADACUR and AXN are this one search. ANNCUR has two rounds, of which the first scores the same documents for every
query. ADACUR has several, each with the best by the estimate so far (Yadav et al., Findings of EMNLP 2023). AXN is
ADACUR over other vectors of the documents (Yadav et al., ICLR 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel.data import DenseVectors, topk

from spaniel_anncur.regression import Solver

Ask = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Queries and items of pairs, ``(pairs,)`` each → their scores. No pair is asked for twice."""


class Plan(NamedTuple):
    """What is done in a search.

    Attributes:
        sizes: documents that each round scores; together the budget.
        next: ``"topk"`` or ``"softmax"``, for all rounds but the first and the last.
        temperature: of the softmax.
        smoothing: how much a query's own vector counts beside the fitted one.
    """

    sizes: tuple[int, ...]
    next: str = "topk"
    temperature: float = 1.0
    smoothing: float = 0.0


@dataclass(frozen=True, eq=False)
class Items:
    """What is searched.

    Attributes:
        features: ``(n, dimensions)`` float32 or float16.
        means: ``(n,)`` float32, taken off features and scores before a fit and added again; ``None``: nothing is.
    """

    features: NDArray[np.floating]
    means: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def fit(self, solver: Solver, seen: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Fit queries to what they saw, ``(queries, dimensions)``.

        Args:
            seen: ``(queries, seen)`` items, -1 where there is none.
            scores: ``(queries, seen)``.
        """
        if not len(self):
            return np.zeros((len(seen), self.features.shape[1]))
        shared = len(seen) > 0 and bool((seen == seen[:1]).all()) and bool((seen[0] >= 0).all())
        places = seen[0] if shared else seen
        features = np.asarray(self.features[places.clip(min=0)], np.float64)
        values = scores.astype(np.float64)
        if self.means is not None:
            means = self.means[places.clip(min=0)].astype(np.float64)
            features -= means[..., None]
            values -= means
        if not shared:
            features[seen < 0] = 0
            values[seen < 0] = 0
        return solver.fit(features, values)

    def estimate(self, vectors: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return estimated scores, ``(queries, n)``."""
        made = DenseVectors(np.ascontiguousarray(vectors, np.float32)).dot(DenseVectors(self.features))
        if self.means is not None:
            made += self.means * (1 - vectors.sum(axis=1, keepdims=True)).astype(np.float32)
        return made


@dataclass(frozen=True, eq=False)
class Found:
    """What a search scored.

    Attributes:
        seen: ``(queries, budget)`` int64 items, -1 where fewer were scored.
        scores: ``(queries, budget)`` float32, exact.
        fit: returns the queries' vectors, ``(queries, dimensions)`` float64, fitted to all of them.
    """

    seen: NDArray[np.int64]
    scores: NDArray[np.float32]
    fit: Callable[[], NDArray[np.float64]]


def search(
    items: Items,
    ask: Ask,
    begin: NDArray[np.int64],
    plan: Plan,
    solver: Solver,
    rngs: Sequence[np.random.Generator],
    candidates: NDArray[np.bool_] | None = None,
    own: NDArray[np.float32] | None = None,
) -> Found:
    """Search for several queries at once; each as if it were alone.

    Args:
        begin: ``(queries, any)`` items for the first round, -1 where there is none; random ones are added where they are
            fewer than that round scores.
        rngs: one generator a query.
        candidates: ``(queries, n)`` bool, what may be scored; ``None``: everything.
        own: ``(queries, dimensions)``, vectors that the queries have by themselves, for :attr:`Plan.smoothing`.
    """
    count = len(rngs)
    seen = np.full((count, sum(plan.sizes)), -1, np.int64)
    scores = np.zeros(seen.shape, np.float32)
    is_open = np.ones((count, len(items)), bool) if candidates is None else candidates.copy()
    at = 0
    for number, size in enumerate(plan.sizes):
        if number == 0:
            chosen = _first(begin, size, is_open, rngs)
        else:
            estimates = items.estimate(_vectors(items, solver, seen[:, :at], scores[:, :at], plan, own))
            is_last = number == len(plan.sizes) - 1
            chosen = _next(estimates, size, is_open, plan, rngs, draws=plan.next == "softmax" and not is_last)
        owners, places = np.nonzero(chosen >= 0)
        picked = chosen[owners, places]
        is_open[owners, picked] = False
        if len(picked):
            seen[owners, at + places] = picked
            scores[owners, at + places] = ask(owners, picked)
        at += size
    return Found(seen, scores, lambda: _vectors(items, solver, seen, scores, plan, own))


def _vectors(
    items: Items,
    solver: Solver,
    seen: NDArray[np.int64],
    scores: NDArray[np.float32],
    plan: Plan,
    own: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    if plan.smoothing == 1 and own is not None:
        return own.astype(np.float64)
    fitted = items.fit(solver, seen, scores)
    return fitted if own is None else (1 - plan.smoothing) * fitted + plan.smoothing * own


def _first(
    begin: NDArray[np.int64], size: int, is_open: NDArray[np.bool_], rngs: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    chosen = np.full((len(rngs), size), -1, np.int64)
    for query, rng in enumerate(rngs):
        given = begin[query]
        given = given[given >= 0]
        given = given[is_open[query, given]][:size]
        chosen[query, : len(given)] = given
        if len(given) < size:
            left = np.flatnonzero(is_open[query])
            left = left[~np.isin(left, given)]
            more = rng.choice(left, min(size - len(given), len(left)), replace=False)
            chosen[query, len(given) : len(given) + len(more)] = more
    return chosen


def _next(
    estimates: NDArray[np.float32],
    size: int,
    is_open: NDArray[np.bool_],
    plan: Plan,
    rngs: Sequence[np.random.Generator],
    draws: bool,
) -> NDArray[np.int64]:
    if draws:
        # The largest of scores with Gumbel noise are draws without replacement from their softmax.
        noise = np.stack([rng.gumbel(size=estimates.shape[1]) for rng in rngs]).astype(np.float32)
        estimates = estimates / np.float32(plan.temperature) + noise
    estimates = np.where(is_open, np.nan_to_num(estimates), -np.inf).astype(np.float32)
    columns, _ = topk(estimates, size)
    chosen = np.full((len(rngs), size), -1, np.int64)
    chosen[:, : columns.shape[1]] = columns
    return chosen


def round_sizes(budget: int, rounds: int, last: float = 0.0) -> tuple[int, ...]:
    """Return what each round scores: equal shares, and a last round with the share ``last`` of the budget."""
    kept = round(budget * last)
    rounds = min(rounds, budget - kept)
    sizes = [(budget - kept) // rounds + (number < (budget - kept) % rounds) for number in range(rounds)]
    return tuple(sizes + [kept] * (kept > 0))

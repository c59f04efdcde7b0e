"""Where relevant documents stand, from a run or from vectors, and how far apart from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import Run

NOWHERE = np.iinfo(np.int64).max
"""Rank of a document that is not in a list."""
_CELLS = 2**23


class Wanted(NamedTuple):
    """The relevant documents of queries, one entry a pair, sorted by query and row.

    Attributes:
        queries: how many; each has one or more.
        owners: ``(pairs,)`` int64, positions of queries.
        rows: ``(pairs,)`` int64, rows of documents.
    """

    queries: int
    owners: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def from_sets(cls, sets: Sequence[Sequence[int]] | NDArray[np.int64]) -> Wanted:
        """Make one of the rows that each query wants; they may be as many for each, ``(queries, k)``, or not."""
        if isinstance(sets, np.ndarray):
            return cls(len(sets), np.repeat(np.arange(len(sets)), sets.shape[1]), np.sort(sets, axis=1).ravel())
        ordered = [np.sort(np.asarray(rows, np.int64)) for rows in sets]
        owners = np.repeat(np.arange(len(sets)), [len(rows) for rows in ordered])
        return cls(len(sets), owners, np.concatenate([*ordered, np.empty(0, np.int64)]))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of relevant documents of each query."""
        return np.bincount(self.owners, minlength=self.queries).astype(np.int64)

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Where the pairs of each query begin, and where the last ones end: ``(queries + 1,)``."""
        return np.searchsorted(self.owners, np.arange(self.queries + 1)).astype(np.int64)

    def distinct(self) -> list[NDArray[np.int64]]:
        """Return the sets, each once, in the order in which they come first."""
        parts = np.split(self.rows, np.cumsum(self.sizes)[:-1])
        return list({part.tobytes(): part for part in parts}.values())


class Ranking(NamedTuple):
    """What became of what was wanted.

    Attributes:
        ranks: ``(pairs,)`` int64 from 0, in the order of the pairs.
        margins: ``(queries,)`` lowest relevant score less highest other score; NaN where a list does not tell.
    """

    ranks: NDArray[np.int64]
    margins: NDArray[np.float64]

    def recall(self, wanted: Wanted, depth: int) -> float:
        """Return the mean over queries of the share of relevant documents among the first ``depth``."""
        found = np.bincount(wanted.owners, self.ranks < depth, minlength=wanted.queries)
        return float((found / wanted.sizes).mean())

    def whole(self, wanted: Wanted) -> float:
        """Return the share of queries whose first documents are just the relevant ones."""
        return float((np.bincount(wanted.owners, self.ranks < wanted.sizes[wanted.owners]) == wanted.sizes).mean())


def rank_run(run: Run, wanted: Wanted, documents: int) -> Ranking:
    """Rank by a run over the queries; its order is the run's own."""
    keys = run.owners * documents + run.rows
    order = np.argsort(keys, kind="stable")
    asked = wanted.owners * documents + wanted.rows
    ranks = np.full(len(asked), NOWHERE, np.int64)
    relevant = np.zeros(len(keys), bool)
    if len(keys):
        places = np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)
        held = keys[order[places]] == asked
        at = order[places[held]]
        ranks[held] = run.ranks[at]
        relevant[at] = True
    low, high = np.full(wanted.queries, np.inf), np.full(wanted.queries, -np.inf)
    np.minimum.at(low, run.owners[relevant], run.scores[relevant].astype(np.float64))
    np.maximum.at(high, run.owners[~relevant], run.scores[~relevant].astype(np.float64))
    missing = np.bincount(wanted.owners, ranks == NOWHERE, minlength=wanted.queries) > 0
    return Ranking(ranks, np.where(missing | np.isinf(high), np.nan, low - high))


def rank_vectors(queries: NDArray[Any], documents: NDArray[Any], wanted: Wanted) -> Ranking:
    """Rank by inner products, exactly, ties by the lower row; no matrix of all scores is held.

    Args:
        queries: ``(queries, d)`` float32.
        documents: ``(documents, d)`` float32.
    """
    count, n = len(queries), len(documents)
    ranks, margins = np.empty(len(wanted.rows), np.int64), np.full(count, np.nan)
    bounds = wanted.bounds
    size = max(1, _CELLS // max(1, n * int(wanted.sizes.max(initial=1))))
    columns = np.arange(n)
    for start in range(0, count, size):
        stop = min(start + size, count)
        part = slice(bounds[start], bounds[stop])
        owners, rows = wanted.owners[part] - start, wanted.rows[part]
        scores = queries[start:stop] @ documents.T
        own = scores[owners, rows]
        lines = scores[owners]
        above = (lines > own[:, None]) | ((lines == own[:, None]) & (columns < rows[:, None]))
        ranks[part] = above.sum(axis=1)
        low = np.full(stop - start, np.inf)
        np.minimum.at(low, owners, own.astype(np.float64))
        scores[owners, rows] = -np.inf
        high = scores.max(axis=1).astype(np.float64)
        margins[start:stop] = np.where(np.isinf(high), np.nan, low - high)
    return Ranking(ranks, margins)


def first_sets(run: Run, sizes: NDArray[np.int64]) -> set[tuple[int, ...]]:
    """Return the sets that a run puts first, as many documents each as its query wants."""
    return {
        tuple(sorted(run.of(query)[0][:size].tolist()))
        for query, size in enumerate(sizes.tolist())
        if run.lengths[query] >= size
    }

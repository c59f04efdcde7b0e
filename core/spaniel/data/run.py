"""Runs: for each query its documents and scores, as three flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spaniel.errors import UsageError

Norm = Literal["min-max", "z-score", "softmax", "none"]


@dataclass(frozen=True)
class Run:
    """Ranked lists, always in order: score descending, then row ascending (document id descending, trec_eval's rule).

    Make runs with :meth:`build`, :meth:`from_matrix` or :meth:`from_lists`, which sort where that is needed.

    Attributes:
        offsets: ``(queries + 1,)`` int64; the list of query ``q`` is ``offsets[q]:offsets[q + 1]``.
        rows: ``(documents,)`` int32, rows of the corpus; none comes twice in a list.
        scores: ``(documents,)`` float32; never NaN.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def build(cls, offsets: ArrayLike, rows: ArrayLike, scores: ArrayLike) -> Run:
        """Make a run of flat arrays, sorting the lists that are not in order.

        Raises:
            UsageError: a score is NaN, or the arrays do not fit together.
        """
        bounds = np.ascontiguousarray(offsets, dtype=np.int64)
        documents = np.ascontiguousarray(rows, dtype=np.int32)
        values = np.ascontiguousarray(scores, dtype=np.float32)
        if bounds.ndim != 1 or not len(bounds) or bounds[0] != 0 or bounds[-1] != len(documents):
            raise UsageError(f"offsets must begin with 0 and end with {len(documents)}, the number of documents")
        if documents.shape != values.shape or documents.ndim != 1 or (np.diff(bounds) < 0).any():
            raise UsageError("rows and scores must be flat and of one length, and offsets must not decrease")
        if np.isnan(values).any():
            position = int(np.flatnonzero(np.isnan(values))[0])
            query = int(np.searchsorted(bounds, position, side="right")) - 1
            raise UsageError(f"the list of query {query} has a score that is not a number (NaN)")
        if len(documents) and documents.min() < 0:
            raise UsageError("rows must not be negative")
        if not _is_ordered(bounds, documents, values):
            order = np.lexsort((documents, -values, _owners(bounds)))
            documents, values = documents[order], values[order]
        return cls(bounds, documents, values)

    @classmethod
    def from_matrix(cls, rows: NDArray[Any], scores: NDArray[Any]) -> Run:
        """Make a run of ``(queries, k)`` matrices; entries with a negative row are left out."""
        if rows.shape != scores.shape or rows.ndim != 2:
            raise UsageError(f"rows {rows.shape} and scores {scores.shape} must be matrices of one shape")
        keep = rows >= 0
        if keep.all():
            offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
            return cls.build(offsets, rows.reshape(-1), scores.reshape(-1))
        offsets = np.concatenate([[0], np.cumsum(keep.sum(axis=1))])
        return cls.build(offsets, rows[keep], scores[keep])

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[tuple[int, float]]]) -> Run:
        """Make a run of ``(row, score)`` lists, one a query.

        Raises:
            UsageError: a row comes twice in a list.
        """
        kept = [list(one) for one in lists]
        for query, one in enumerate(kept):
            if len({row for row, _ in one}) < len(one):
                raise UsageError(f"the list of query {query} has a document twice")
        flat = [pair for one in kept for pair in one]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in kept], dtype=np.int64)])
        return cls.build(offsets, [row for row, _ in flat], [score for _, score in flat])

    @classmethod
    def empty(cls, queries: int) -> Run:
        """Make a run of empty lists."""
        return cls.build(np.zeros(queries + 1, np.int64), [], [])

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of documents of each list."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> NDArray[np.int64]:
        """Position of the query of each document."""
        return _owners(self.offsets)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Rank of each document in its list, from 0."""
        return np.arange(len(self.rows)) - np.repeat(self.offsets[:-1], self.lengths)

    def of(self, query: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return rows and scores of one list."""
        part = slice(self.offsets[query], self.offsets[query + 1])
        return self.rows[part], self.scores[part]

    def cut(self, k: int) -> Run:
        """Return the first ``k`` documents of each list.

        Raises:
            UsageError: ``k`` is negative.
        """
        if k < 0:
            raise UsageError(f"a list is cut after 0 documents or more, not after {k}")
        lengths = self.lengths
        if not len(lengths) or lengths.max() <= k:
            return self
        keep = self.ranks < k
        return Run(np.concatenate([[0], np.cumsum(np.minimum(lengths, k))]), self.rows[keep], self.scores[keep])

    def select(self, positions: Sequence[int]) -> Run:
        """Return the lists of some queries, in that order."""
        chosen = np.asarray(positions, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        taken = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Run(offsets, self.rows[taken], self.scores[taken])

    def normalise(self, norm: Norm) -> Run:
        """Return the run with the scores of each list made comparable; the order stays.

        ``min-max`` maps the highest to 1 and the lowest to 0, and a list whose scores are all equal to 1; ``z-score``
        subtracts the mean and divides by the standard deviation (by 1 where it is 0); ``softmax`` makes each list sum to 1.

        Raises:
            UsageError: the normalisation is unknown.
        """
        if norm not in ("min-max", "z-score", "softmax", "none"):
            raise UsageError(f"unknown normalisation {norm!r}; there are min-max, z-score, softmax and none")
        if norm == "none" or not len(self.rows):
            return self
        scores, lengths = self.scores.astype(np.float64), self.lengths
        filled = lengths > 0
        starts, counts = self.offsets[:-1][filled], lengths[filled]
        high, low = scores[starts], scores[starts + counts - 1]
        if norm == "min-max":
            flat = high == low
            width = np.where(flat, 1.0, high - low)
            scaled = (scores - np.repeat(low, counts)) / np.repeat(width, counts)
            scaled[np.repeat(flat, counts)] = 1.0
        elif norm == "z-score":
            mean = np.add.reduceat(scores, starts) / counts
            centred = scores - np.repeat(mean, counts)
            deviation = np.sqrt(np.add.reduceat(centred**2, starts) / counts)
            scaled = centred / np.repeat(np.where(deviation > 0, deviation, 1.0), counts)
        else:
            powers = np.exp(scores - np.repeat(high, counts))
            scaled = powers / np.repeat(np.add.reduceat(powers, starts), counts)
        # Rounding to float32 can make ties, so the order is made sure of.
        return Run.build(self.offsets, self.rows, scaled)


def concatenate(runs: Sequence[Run]) -> Run:
    """Return one run with the queries of several, one after the other."""
    if not runs:
        return Run.empty(0)
    ends = np.concatenate([[0], np.cumsum([run.offsets[-1] for run in runs])])
    offsets = [run.offsets[1:] + end for run, end in zip(runs, ends, strict=False)]
    return Run(
        np.concatenate([[0], *offsets]).astype(np.int64),
        np.concatenate([run.rows for run in runs]),
        np.concatenate([run.scores for run in runs]),
    )


def _owners(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))


def _is_ordered(offsets: NDArray[np.int64], rows: NDArray[np.int32], scores: NDArray[np.float32]) -> bool:
    if len(rows) < 2:
        return True
    ordered = scores[:-1] > scores[1:]
    ordered |= (scores[:-1] == scores[1:]) & (rows[:-1] < rows[1:])
    borders = offsets[1:-1]
    ordered[borders[(borders > 0) & (borders < len(rows))] - 1] = True
    return bool(ordered.all())

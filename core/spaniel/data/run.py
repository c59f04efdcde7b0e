"""Runs: for each query its documents and scores, as three flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spaniel.data.ordering import find_unordered, first_duplicate, sort_lists
from spaniel.errors import UsageError

Norm = Literal["min-max", "z-score", "softmax", "none"]


class MalformedRun(UsageError):
    """A list that no run can have: the position of its query, and what is wrong with it."""

    def __init__(self, query: int, problem: str) -> None:
        super().__init__(f"the list of query {query} {problem}")
        self.query = query
        self.problem = problem


@dataclass(frozen=True, eq=False)
class Run:
    """Ranked lists, always in order: score descending, then row ascending (document id descending, trec_eval's rule).

    Make runs with :meth:`build`, :meth:`from_matrix` or :meth:`from_lists`, which check them and sort where needed.

    Attributes:
        offsets: ``(queries + 1,)`` int64; the list of query ``q`` is ``offsets[q]:offsets[q + 1]``.
        rows: ``(documents,)`` int32, rows of the corpus; none comes twice in a list.
        scores: ``(documents,)`` float32; never NaN.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("offsets", "rows", "scores"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __repr__(self) -> str:
        first = ", ".join(f"{row}: {score:.4g}" for row, score in zip(self.rows[:3], self.scores, strict=False))
        shown = f", first rows {first}" if first else ""
        return f"Run({len(self.offsets) - 1} queries, {len(self.rows)} documents{shown})"

    @classmethod
    def build(cls, offsets: ArrayLike, rows: ArrayLike, scores: ArrayLike) -> Run:
        """Make a run of flat arrays, sorting the lists that are not in order.

        Raises:
            UsageError: a score is NaN, a row is negative or comes twice in a list, or the arrays do not fit together.
        """
        bounds = np.ascontiguousarray(offsets, dtype=np.int64)
        documents = _as_rows(rows)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(scores, dtype=np.float32)
        if bounds.ndim != 1 or not len(bounds) or bounds[0] != 0 or bounds[-1] != len(documents):
            raise UsageError(f"offsets must begin with 0 and end with {len(documents)}, the number of documents")
        if documents.shape != values.shape or documents.ndim != 1 or (np.diff(bounds) < 0).any():
            raise UsageError("rows and scores must be flat and of one length, and offsets must not decrease")
        # The largest value is NaN where any is.
        if len(values) and np.isnan(values.max()):
            query = _owner(bounds, int(np.flatnonzero(np.isnan(values))[0]))
            raise MalformedRun(query, "has a score that is not a number (NaN)")
        twice = first_duplicate(bounds, documents)
        if twice is not None:
            raise MalformedRun(twice[0], f"has row {twice[1]} twice")
        unordered = find_unordered(bounds, documents, values)
        if len(unordered):
            documents, values = sort_lists(bounds, documents, values, unordered)
        return cls(bounds, documents, values)

    @classmethod
    def from_matrix(cls, rows: NDArray[Any], scores: NDArray[Any]) -> Run:
        """Make a run of ``(queries, k)`` matrices; entries with a negative row are left out."""
        if rows.shape != scores.shape or rows.ndim != 2:
            raise UsageError(f"rows {rows.shape} and scores {scores.shape} must be matrices of one shape")
        if not rows.size or rows.min() >= 0:
            offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
            return cls.build(offsets, rows.reshape(-1), scores.reshape(-1))
        keep = rows >= 0
        return cls.build(_cumulated(keep.sum(axis=1)), rows[keep], scores[keep])

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[tuple[int, float]]]) -> Run:
        """Make a run of ``(row, score)`` lists, one a query."""
        kept = [list(one) for one in lists]
        flat = [pair for one in kept for pair in one]
        offsets = _cumulated([len(one) for one in kept])
        return cls.build(offsets, [row for row, _ in flat], [score for _, score in flat])

    @classmethod
    def empty(cls, queries: int) -> Run:
        """Make a run of empty lists."""
        return cls.build(np.zeros(queries + 1, np.int64), [], [])

    @classmethod
    def concatenate(cls, runs: Sequence[Run]) -> Run:
        """Return one run with the queries of several, one after the other."""
        if not runs:
            return cls.empty(0)
        return cls(
            _cumulated(np.concatenate([run.lengths for run in runs])),
            np.concatenate([run.rows for run in runs]),
            np.concatenate([run.scores for run in runs]),
        )

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.offsets) - 1

    def __eq__(self, other: object) -> bool:
        """Whether offsets, rows and scores are the same."""
        if not isinstance(other, Run):
            return NotImplemented
        pairs = ((self.offsets, other.offsets), (self.rows, other.rows), (self.scores, other.scores))
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    __hash__ = None  # type: ignore[assignment]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of documents of each list."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> NDArray[np.int64]:
        """Position of the query of each document."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

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
        return Run(_cumulated(np.minimum(lengths, k)), self.rows[keep], self.scores[keep])

    def select(self, positions: Sequence[int] | NDArray[Any]) -> Run:
        """Return the lists of some queries, in that order."""
        chosen = np.asarray(positions, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = _cumulated(lengths)
        taken = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths)
        return Run(offsets, self.rows[taken], self.scores[taken])

    def normalise(self, norm: Norm) -> Run:
        """Return the run with the scores of each list made comparable; the order stays but where rounding makes a tie.

        ``min-max`` maps the highest to 1 and the lowest to 0, and a list whose scores are all equal to 1; ``z-score``
        subtracts the mean and divides by the (population) standard deviation, and maps a list whose scores are all
        equal to 0; ``softmax`` makes each list sum to 1.

        Raises:
            UsageError: the normalisation is unknown, or a score is infinite.
        """
        if norm not in get_args(Norm):
            raise UsageError(f"unknown normalisation {norm!r}; there are {', '.join(get_args(Norm))}")
        if norm == "none" or not len(self.rows):
            return self
        if not np.isfinite(self.scores).all():
            query = _owner(self.offsets, int(np.flatnonzero(~np.isfinite(self.scores))[0]))
            raise UsageError(f"the list of query {query} has an infinite score, which {norm} cannot normalise")
        scores, lengths = self.scores.astype(np.float64), self.lengths
        filled = lengths > 0
        starts, counts = self.offsets[:-1][filled], lengths[filled]
        high, low = scores[starts], scores[starts + counts - 1]
        flat = high == low
        if norm == "min-max":
            scaled = (scores - np.repeat(low, counts)) / np.repeat(np.where(flat, 1.0, high - low), counts)
            scaled[np.repeat(flat, counts)] = 1.0
        elif norm == "z-score":
            centred = scores - np.repeat(np.add.reduceat(scores, starts) / counts, counts)
            deviation = np.sqrt(np.add.reduceat(centred**2, starts) / counts)
            # Not by the deviation: the mean of equal scores need not be that score, to the last bit.
            scaled = centred / np.repeat(np.where(flat, 1.0, deviation), counts)
            scaled[np.repeat(flat, counts)] = 0.0
        else:
            powers = np.exp(scores - np.repeat(high, counts))
            scaled = powers / np.repeat(np.add.reduceat(powers, starts), counts)
        return Run.build(self.offsets, self.rows, scaled)


def _as_rows(rows: ArrayLike) -> NDArray[np.int32]:
    given = np.asarray(rows)
    if given.size and given.dtype.kind not in "iu":
        raise UsageError(f"rows are whole numbers, not {given.dtype}")
    if given.size and (given.min() < 0 or given.max() > np.iinfo(np.int32).max):
        raise UsageError(f"rows are from 0 to {np.iinfo(np.int32).max}, not from {given.min()} to {given.max()}")
    return np.ascontiguousarray(given, dtype=np.int32)


def _cumulated(lengths: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(lengths, dtype=np.int64)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _owner(offsets: NDArray[np.int64], position: int) -> int:
    return int(np.searchsorted(offsets, position, side="right")) - 1

"""The best documents of blocks of scores, in bounded memory.

Scores of a matrix product are right up to a rounding that depends on the shapes of the blocks. So what is collected here
is everything that may be among the best for all that rounding; who collects scores it once more, exactly, and sorts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spaniel import Run

from spaniel_dense.kernels import collect, trim

ROOM = 1024
"""Candidates kept beyond twice ``k`` before those that cannot win are dropped."""
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A key behind every other: no score has these bits."""


class Best:
    """What may be among the ``k`` best of each query, of the blocks seen so far.

    Args:
        queries: how many.
        k: how many documents are wanted for each, at least 1.
        margins: ``(queries,)`` float32, twice the largest error of a score; 0 where scores are taken as they are.
    """

    def __init__(self, queries: int, k: int, margins: NDArray[np.float32] | None = None) -> None:
        self.k = k
        self._margins = np.zeros(queries, np.float32) if margins is None else margins
        self._keys = np.empty((queries, room(k)), np.uint64)
        self._sizes = np.zeros(queries, np.int64)
        self._floors = np.full(queries, -np.inf, np.float32)

    def add(
        self, part: slice, scores: NDArray[np.float32], places: NDArray[np.int64], eligible: NDArray[np.bool_]
    ) -> None:
        """Consider scores ``(queries of part, n)`` of documents that are called ``places``, ``(n,)``.

        ``eligible``, ``(n,)`` bool, says which of them count; empty where all do.
        """
        collect(
            scores,
            places,
            eligible,
            self.k,
            self._margins[part],
            self._floors[part],
            self._keys[part],
            self._sizes[part],
        )

    def candidates(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return what may be among the best: offsets ``(queries + 1,)``, places in no order, and who was given up.

        More documents than there is room for had nearly the same score, for the queries whose numbers come last.
        """
        trim(self.k, self._margins, self._keys, self._sizes)
        sizes = np.maximum(self._sizes, 0)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        held = np.arange(self._keys.shape[1]) < sizes[:, None]
        return offsets, (self._keys[held] & np.uint64(0xFFFFFFFF)).astype(np.int64), np.flatnonzero(self._sizes < 0)

    def sorted(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best as they were given, in the order of the tie rule; see :func:`sort_best`."""
        trim(self.k, self._margins, self._keys, self._sizes)
        held = np.arange(self._keys.shape[1]) < self._sizes[:, None]
        return _unpack(np.sort(np.where(held, self._keys, _NONE), axis=1)[:, : self.k])


def room(k: int) -> int:
    """Return how many candidates are kept for a query."""
    return 2 * k + ROOM


def sort_best(
    offsets: NDArray[np.int64], places: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the ``k`` best of the candidates of each query: score descending, then place ascending.

    Args:
        offsets: ``(queries + 1,)``; the candidates of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        places: ``(candidates,)`` rows.
        scores: ``(candidates,)``.
        k: how many.

    Returns:
        rows ``(queries, k)``, -1 where a query has fewer, and their scores.
    """
    lengths = np.diff(offsets)
    width = max(k, int(lengths.max(initial=0)))
    keys = pack(np.arange(width) < lengths[:, None], places, scores)
    keys.sort(axis=1)
    return _unpack(keys[:, :k])


def pack(held: NDArray[np.bool_], places: NDArray[np.integer], scores: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return keys that ascend from the best candidate on, where ``held`` says that there is one; behind them where not.

    Args:
        held: ``(queries, any)``; as many are true as there are candidates.
        places: ``(candidates,)`` rows.
        scores: ``(candidates,)``.
    """
    bits = (scores + np.float32(0)).view(np.uint32)
    descending = np.where(bits >> np.uint32(31), bits, bits ^ np.uint32(0x7FFFFFFF)).astype(np.uint64)
    keys = np.full(held.shape, _NONE, np.uint64)
    keys[held] = (descending << np.uint64(32)) | places.astype(np.uint64)
    return keys


def cumulated(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return offsets for lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranked(rows: NDArray[np.int32], scores: NDArray[np.float32]) -> Run:
    """Make a run of matrices whose lines are in order and hold no row twice, as the functions here return them.

    There is nothing left to check or to sort; entries with a row of -1, behind all others, are left out.
    """
    if rows.size and rows.min() < 0:
        held = rows >= 0
        return Run(cumulated(held.sum(axis=1)), rows[held], scores[held])
    return Run(np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1], rows.reshape(-1), scores.reshape(-1))


def _unpack(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return places and scores of keys; -1 and 0 where there is none."""
    descending = (keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(descending >> np.uint32(31), descending, descending ^ np.uint32(0x7FFFFFFF))
    places = np.where(keys == _NONE, -1, (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)).astype(np.int32)
    return places, np.where(keys == _NONE, 0, bits).astype(np.uint32).view(np.float32)

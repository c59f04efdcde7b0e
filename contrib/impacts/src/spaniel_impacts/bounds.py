"""What terms can add at most: in any document, in a block of documents, and in the k-th best of their documents.

Nothing of this is stored beside the postings. It is found when a term is first asked for, in one pass over its postings,
which costs what sweeping them once does; so it is true whoever wrote the index.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK_BITS = 6
"""A block holds 64 documents."""

FREQUENT = 16
"""Terms of at least one document in so many have bounds of their own for each block."""

_BINS = 512
_SHIFT = 17
"""Impacts as float32 are counted by their leading bits: steps of a 64th, down to a 256th of the greatest."""


class Bounds:
    """Bounds of the impacts of postings, found as they are needed.

    Args:
        indptr, indices, data, documents: those of :class:`spaniel_impacts.postings.Postings`.

    Attributes:
        greatest: ``(terms,)`` float32 the greatest impact; below 0 where it is not known yet.
        place: ``(terms,)`` int32 the line of a frequent term in the next two, -1 for others.
        maxima: ``(frequent terms, blocks)`` float32 the greatest impact in each block.
        starts: ``(frequent terms, blocks + 1)`` int32 where the postings of each block begin, counted from the term's first.
    """

    def __init__(
        self, indptr: NDArray[np.int64], indices: NDArray[np.int32], data: NDArray[Any], documents: int
    ) -> None:
        self._arrays = indptr, indices.view(np.uint32), data
        self._is_float = data.dtype == np.float32
        frequent = np.flatnonzero(np.diff(indptr) * FREQUENT >= max(1, documents))
        blocks = (documents >> BLOCK_BITS) + 1
        self.greatest = np.full(len(indptr) - 1, -1, np.float32)
        self.place = np.full(len(indptr) - 1, -1, np.int32)
        self.place[frequent] = np.arange(len(frequent), dtype=np.int32)
        # Memory that is not written to is not taken.
        self.maxima = np.empty((len(frequent), blocks), np.float32)
        self.starts = np.empty((len(frequent), blocks + 1), np.int32)
        self._kth: dict[int, NDArray[np.float32]] = {}
        self._lock = Lock()

    def prepare(self, terms: NDArray[np.int32], k: int) -> NDArray[np.float32]:
        """Find what is not known yet of terms.

        Returns:
            ``(terms of the vocabulary,)`` for the given terms an impact that at least ``k`` of their documents reach; 0 where
            there are fewer.
        """
        indptr, rows, data = self._arrays
        with self._lock:
            kth = self._kth.get(k)
            if kth is None:
                self._kth.clear()  # one k is asked for again and again
                kth = self._kth[k] = np.full(len(self.greatest), -1, np.float32)
            # What float32 numbers of 0 or more are in order, their bits are.
            keys = data.view(np.int32) if self._is_float else data
            shift = _SHIFT if self._is_float else 0
            parts = self.greatest, self.place, self.maxima, self.starts, kth
            _prepare(indptr, rows, keys, shift, terms, k, *parts)
        return kth


@njit(inline="always")
def _impact(key: Any, is_float: bool, scratch: NDArray[np.float32]) -> Any:
    """Return the impact that a key stands for."""
    if is_float:
        scratch.view(np.int32)[0] = np.int32(key)
        return scratch[0]
    return np.float32(key)


@njit(cache=True, nogil=True)
def _prepare(
    indptr: NDArray[np.int64],
    rows: NDArray[np.uint32],
    keys: NDArray[Any],
    shift: int,
    terms: NDArray[np.int32],
    k: int,
    greatest: NDArray[Any],
    place: NDArray[np.int32],
    maxima: NDArray[np.float32],
    starts: NDArray[np.int32],
    kth: NDArray[np.float32],
) -> None:
    scratch, counts = np.empty(1, np.float32), np.empty(_BINS, np.int64)
    is_float = shift > 0
    for term in terms:
        held = keys[indptr[term] : indptr[term + 1]]
        if greatest[term] < 0:
            highest: Any = np.int64(0)
            for key in held:
                highest = max(highest, np.int64(key))
            greatest[term] = _impact(highest, is_float, scratch)
            line = place[term]
            if line >= 0:
                at, found = 0, rows[indptr[term] : indptr[term + 1]]
                for block in range(maxima.shape[1]):
                    starts[line, block] = at
                    most: Any = np.int64(0)
                    while at < len(found) and found[at] >> np.uint32(BLOCK_BITS) == block:
                        most = max(most, np.int64(held[at]))
                        at += 1
                    maxima[line, block] = _impact(most, is_float, scratch)
                starts[line, maxima.shape[1]] = at
        if kth[term] < 0:
            kth[term] = 0
            if len(held) < k:
                continue
            scratch[0] = greatest[term]
            top = np.int64(scratch.view(np.int32)[0] >> shift) if is_float else np.int64(greatest[term])
            counts[:] = 0
            for key in held:
                below = top - (np.int64(key) >> shift)
                if below < _BINS:
                    counts[below] += 1
            reached = 0
            for step in range(_BINS):
                reached += counts[step]
                if reached >= k:
                    least: Any = max(0, top - step)
                    kth[term] = _impact(least << shift, is_float, scratch)
                    break

"""What the compiled searches share: score and row in one key, whose order is the tie rule.

Scores are never negative. So the sign says which documents a query has met: a scratch array holds -0.0 for every document
before and after each query, and -0.0 + 0.0 is +0.0. And so the bits of scores, seen as integers, are in the order of the
scores: score and row make one 64-bit key, and the tie rule is the order of keys.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 64
"""Rows that are passed over together where none of them can be among the best."""

ROOM = 256
"""Candidates kept beyond twice ``k`` before the best ``k`` are picked out of them."""

UNMET = np.int32(-(2**31))
"""The bits of -0.0."""

_LAST = np.int64(2**32 - 1)


@njit(inline="always")
def key_of(bits: np.int32, row: int) -> np.int64:
    """Return the key of a score, given as bits, and a row."""
    return (np.int64(bits) << 32) | (_LAST - np.int64(row))


@njit(cache=True, nogil=True)
def keep_best(keys: NDArray[np.int64], size: int, k: int) -> np.int64:
    """Move the ``k`` greatest of the first ``size`` keys to the front; return the least of them."""
    best = np.partition(keys[:size], size - k)[size - k :]
    keys[:k] = best
    least: np.int64 = best[0]
    return least


@njit(cache=True, nogil=True)
def write_best(keys: NDArray[np.int64], size: int, out: NDArray[np.int64]) -> None:
    """Write the best of the first ``size`` keys, as many as there is room for, in no order; the rest is left as it is.

    Sorting them is left to numpy. Code that numba keeps on disk must not sort: its sorting functions of several kinds
    have one name, and are taken for each other where they were compiled in different processes.
    """
    if size > len(out):
        keep_best(keys, size, len(out))
        size = len(out)
    out[:size] = keys[:size]


@njit(cache=True, nogil=True)
def seek(rows: NDArray[np.uint32], start: int, end: int, row: int) -> int:
    """Return the first position from ``start`` on whose row is ``row`` or more, ``end`` where there is none.

    Steps double until they pass it, so that what is near is found soon.
    """
    step, low = 1, start
    while low + step < end and rows[low + step] < row:
        low += step
        step *= 2
    high = min(low + step, end)
    while low < high:
        middle = (low + high) >> 1
        if rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low

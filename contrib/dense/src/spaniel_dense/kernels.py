"""Exact scores of pairs, and the best of blocks of scores: compiled, without the interpreter's lock.

Nothing here sorts: numba's sorting functions of several kinds have one name, and are taken for each other where code that
it keeps on disk was compiled in different processes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SIGN = np.uint32(0x80000000)
_ALL = np.uint32(0xFFFFFFFF)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
STRIP = 64
"""Scores that are passed over together where none of them can be among the best."""


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def score_pairs(
    queries: NDArray[np.float32],
    offsets: NDArray[np.int64],
    values: NDArray[Any],
    positions: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Score candidates: the inner product in double precision, rounded once.

    The score of a pair depends on the two vectors alone, not on where they lie or what else is asked.

    Args:
        queries: ``(queries, dimensions)``.
        offsets: ``(queries + 1,)``; the candidates of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        values: ``(n, dimensions)`` float32 or int8.
        positions: ``(candidates,)`` which lines of ``values``.
        scores: ``(candidates,)`` receives the scores.
    """
    for query in range(len(offsets) - 1):
        asked = queries[query]
        for candidate in range(offsets[query], offsets[query + 1]):
            held = values[positions[candidate]]
            total = 0.0
            for i in range(len(asked)):
                total += np.float64(asked[i]) * np.float64(held[i])
            scores[candidate] = np.float32(total)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def rank_pairs(
    queries: NDArray[np.float32],
    positions: NDArray[np.int64],
    values: NDArray[Any],
    scale: NDArray[np.float32],
    rows: NDArray[np.int32],
    eligible: NDArray[np.bool_],
    keys: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> int:
    """Score candidates as :func:`score_pairs` does, and pack scores and rows into keys that ascend from the best on.

    Args:
        queries: ``(queries, dimensions)``.
        positions: ``(queries, candidates)`` lines of ``values``; below 0 there is none.
        values: ``(n, dimensions)`` float32 or int8.
        scale: ``(n,)`` what scores are multiplied by, or empty.
        rows: ``(n,)`` what each line is called; below 0 it is deleted.
        eligible: ``(n,)`` which lines count, or empty where all do.
        keys: ``(queries, candidates)`` receives the keys, the last of all where there is no candidate that counts.
        counts: ``(queries,)`` receives how many there are.

    Returns:
        A position beyond the last line, which nothing is read of, or -1 where there is none.
    """
    scratch = np.empty(1, np.float32)
    bits = scratch.view(np.uint32)
    for query in range(len(queries)):
        asked, count = queries[query], 0
        for column in range(positions.shape[1]):
            position: int = positions[query, column]
            if position >= len(values):
                return position
            if position < 0 or rows[position] < 0 or (len(eligible) and not eligible[position]):
                keys[query, column] = _LAST
                continue
            held = values[position]
            total = 0.0
            for i in range(len(asked)):
                total += np.float64(asked[i]) * np.float64(held[i])
            score = np.float32(total)
            if len(scale):
                score *= scale[position]
            scratch[0] = score + np.float32(0)
            keys[query, column] = pack_key(bits[0], rows[position])
            count += 1
        counts[query] = count
    return -1


@njit(cache=True, nogil=True)
def unpack_keys(keys: NDArray[np.uint64], rows: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
    """Read rows and scores, ``(queries, k)`` both, from the first keys of each line; -1 and 0 where there is none."""
    bits = scores.view(np.uint32)
    for query in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            key = keys[query, column]
            descending = np.uint32(key >> _HALF)
            rows[query, column] = -1 if key == _LAST else np.int32(key & _LOW)
            bits[query, column] = 0 if key == _LAST else (descending if descending & _SIGN else descending ^ ~_SIGN)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def multiply(queries: NDArray[np.float32], values: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
    """Compute the inner products of a few queries, ``(queries, dimensions)``, with vectors, ``(n, dimensions)``.

    Each vector is read once. ``scores``, ``(queries, n)``, are right up to the rounding of single precision.
    """
    for line in range(len(values)):
        held = values[line]
        for query in range(len(queries)):
            asked = queries[query]
            total = np.float32(0)
            for i in range(len(held)):
                total += asked[i] * held[i]
            scores[query, line] = total


@njit(inline="always")
def pack_key(bits: np.uint32, place: int) -> np.uint64:
    """Return a key that ascends as scores (given by their bits) descend, and as places ascend among equal scores."""
    descending = bits if bits & _SIGN else bits ^ ~_SIGN
    return (np.uint64(descending) << _HALF) | np.uint64(place)


@njit(cache=True, nogil=True)
def compact(
    keys: NDArray[np.uint64], size: int, k: int, margin: np.float32, scratch: NDArray[np.float32]
) -> tuple[int, np.float32]:
    """Move what may be among the ``k`` best to the front of the keys; return how many, and the least score that may.

    Without a margin the keys decide, and just ``k`` stay. With one, scores are known up to half of it, so everything
    stays that is no further than the margin below the ``k``-th score.
    """
    kept = np.partition(keys[:size], k - 1)
    last = np.uint32(kept[k - 1] >> _HALF)
    scratch.view(np.uint32)[0] = last if last & _SIGN else last ^ ~_SIGN
    floor = scratch[0]
    if margin <= 0:
        keys[:k] = kept[:k]
        return k, floor
    floor -= margin
    stay = 0
    for at in range(size):
        descending = np.uint32(keys[at] >> _HALF)
        scratch.view(np.uint32)[0] = descending if descending & _SIGN else descending ^ ~_SIGN
        if scratch[0] >= floor:
            keys[stay] = keys[at]
            stay += 1
    return stay, floor


@njit(cache=True, nogil=True)
def collect(
    scores: NDArray[np.float32],
    places: NDArray[np.int64],
    eligible: NDArray[np.bool_],
    k: int,
    margins: NDArray[np.float32],
    floors: NDArray[np.float32],
    keys: NDArray[np.uint64],
    sizes: NDArray[np.int64],
) -> None:
    """Take from a block of scores what may be among the ``k`` best of each query.

    Args:
        scores: ``(queries, n)``; 0 and -0 are one, and none is NaN.
        places: ``(n,)`` what each column is called in the keys.
        eligible: ``(n,)`` which columns count, or empty where all do.
        k: how many are wanted, at least 1.
        margins: ``(queries,)`` see :func:`compact`.
        floors: ``(queries,)`` the least score that may still enter; infinite once a query is given up.
        keys: ``(queries, room)`` what is kept, in no order; ``room`` is above ``k``.
        sizes: ``(queries,)`` how many are kept. -1 from when more than the room are within the margin: given up.
    """
    scratch = np.empty(1, np.float32)
    bits = scratch.view(np.uint32)
    room, n = keys.shape[1], scores.shape[1]
    crowd = (room + k) // 2
    for query in range(len(scores)):
        line, kept, floor, size = scores[query], keys[query], floors[query], sizes[query]
        if size < 0:
            continue
        for start in range(0, n, STRIP):
            stop = min(start + STRIP, n)
            above = 0
            for column in range(start, stop):
                above += line[column] >= floor
            if not above:
                continue
            for column in range(start, stop):
                if line[column] >= floor and (not len(eligible) or eligible[column]):
                    scratch[0] = line[column] + np.float32(0)
                    kept[size] = pack_key(bits[0], places[column])
                    size += 1
                    if size == room:
                        size, floor = compact(kept, size, k, margins[query], scratch)
                        if size > crowd:
                            size, floor = -1, np.float32(np.inf)
                            break
            if size < 0:
                break
        floors[query], sizes[query] = floor, size


@njit(cache=True, nogil=True)
def trim(k: int, margins: NDArray[np.float32], keys: NDArray[np.uint64], sizes: NDArray[np.int64]) -> None:
    """Leave with each query only what may be among its ``k`` best."""
    scratch = np.empty(1, np.float32)
    for query in range(len(sizes)):
        if sizes[query] > k:
            sizes[query], _ = compact(keys[query], sizes[query], k, margins[query], scratch)

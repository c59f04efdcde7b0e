"""Scans over codes, compiled: the candidates with the largest products of bytes, or the fewest different bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

BLOCK = 2048
"""Codes that are scanned for one query after the other while they are near."""
ROOM = 1024
_HALF = np.uint64(32)
_LAST = np.uint64(0xFFFFFFFF)
_MIDDLE = 2**31


@intrinsic
def _count_ones(typing_context: Any, word: Any) -> Any:
    """The processor's own instruction, which numba gives no name to."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(inline="always")
def _keep(keys: NDArray[np.uint64], size: int, wanted: int) -> np.uint64:
    """Move the least keys to the front, and return the largest of them."""
    best = np.partition(keys[:size], wanted - 1)[:wanted]
    keys[:wanted] = best
    largest: np.uint64 = best[wanted - 1]
    return largest


@njit(cache=True, nogil=True)
def scan_bytes(
    queries: NDArray[np.int16], codes: NDArray[np.int8], eligible: NDArray[np.bool_], found: NDArray[np.int64]
) -> None:
    """Find the positions with the largest inner products, the lower of equals first.

    Args:
        queries: ``(queries, dimensions)``.
        codes: ``(n, dimensions)``.
        eligible: ``(n,)``, or empty where all are.
        found: ``(queries, wanted)`` receives positions in no order; -1 stays where there are fewer.
    """
    wanted = found.shape[1]
    keys = np.empty((len(queries), 2 * wanted + ROOM), np.uint64)
    sizes, limits = np.zeros(len(queries), np.int64), np.full(len(queries), np.uint64(2**64 - 1))
    for start in range(0, len(codes), BLOCK):
        for query in range(len(queries)):
            asked, size, limit = queries[query], sizes[query], limits[query]
            for position in range(start, min(start + BLOCK, len(codes))):
                if len(eligible) and not eligible[position]:
                    continue
                code = codes[position]
                total = np.int32(0)
                for i in range(len(asked)):
                    total += np.int32(asked[i]) * np.int32(code[i])
                key = (np.uint64(_MIDDLE - np.int64(total)) << _HALF) | np.uint64(position)
                if key < limit:
                    keys[query, size] = key
                    size += 1
                    if size == keys.shape[1]:
                        limit, size = _keep(keys[query], size, wanted), wanted
            sizes[query], limits[query] = size, limit
    _hand_out(keys, sizes, found)


@njit(cache=True, nogil=True)
def scan_bits(
    queries: NDArray[np.uint64], words: NDArray[np.uint64], eligible: NDArray[np.bool_], found: NDArray[np.int64]
) -> None:
    """Find the positions with the fewest different bits, the lower of equals first.

    Args:
        queries: ``(queries, words)``.
        words: ``(n, words)``.
        eligible: ``(n,)``, or empty where all are.
        found: ``(queries, wanted)`` receives positions in no order; -1 stays where there are fewer.
    """
    wanted = found.shape[1]
    keys = np.empty((len(queries), 2 * wanted + ROOM), np.uint64)
    sizes, limits = np.zeros(len(queries), np.int64), np.full(len(queries), np.uint64(2**64 - 1))
    for start in range(0, len(words), BLOCK):
        for query in range(len(queries)):
            asked, size, limit = queries[query], sizes[query], limits[query]
            for position in range(start, min(start + BLOCK, len(words))):
                if len(eligible) and not eligible[position]:
                    continue
                differing = np.uint64(0)
                for i in range(len(asked)):
                    differing += _count_ones(asked[i] ^ words[position, i])  # type: ignore[call-arg]
                key = (differing << _HALF) | np.uint64(position)
                if key < limit:
                    keys[query, size] = key
                    size += 1
                    if size == keys.shape[1]:
                        limit, size = _keep(keys[query], size, wanted), wanted
            sizes[query], limits[query] = size, limit
    _hand_out(keys, sizes, found)


@njit(cache=True, nogil=True)
def _hand_out(keys: NDArray[np.uint64], sizes: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    wanted = found.shape[1]
    for query in range(len(sizes)):
        size = sizes[query]
        if size > wanted:
            _keep(keys[query], size, wanted)
            size = wanted
        for at in range(size):
            found[query, at] = np.int64(keys[query, at] & _LAST)

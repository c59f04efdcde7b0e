"""The order of ranked lists: score descending, then row ascending; checked and made for many lists at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def find_unordered(
    offsets: NDArray[np.int64], rows: NDArray[np.int32], scores: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the positions of the lists that are not in order."""
    if len(rows) < 2:
        return np.empty(0, np.int64)
    wrong = scores[:-1] <= scores[1:]
    # Among neighbours with one score the rows decide; there are few such.
    level = np.flatnonzero(wrong)
    level = level[scores[level] == scores[level + 1]]
    wrong[level[rows[level] < rows[level + 1]]] = False
    borders = offsets[1:-1]
    wrong[borders[(borders > 0) & (borders < len(rows))] - 1] = False
    return np.unique(np.searchsorted(offsets, np.flatnonzero(wrong), side="right") - 1)


def sort_lists(
    offsets: NDArray[np.int64], rows: NDArray[np.int32], scores: NDArray[np.float32], lists: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return rows and scores with some of the lists sorted.

    Score and row are packed into one whole number, and all lists of a length are sorted at once.
    """
    rows, scores = rows.copy(), scores.copy()
    for at in _positions_by_length(offsets, lists):
        keys = (_descending(scores[at]).astype(np.uint64) << _HALF) | rows[at].astype(np.uint64)
        keys.sort(axis=1)
        rows[at] = (keys & _LOW).astype(np.int32)
        scores[at] = _ascending((keys >> _HALF).astype(np.uint32))
    return rows, scores


def first_duplicate(offsets: NDArray[np.int64], rows: NDArray[np.int32]) -> tuple[int, int] | None:
    """Return list and row where a row comes twice in a list, or ``None``."""
    lengths = np.diff(offsets)
    if len(lengths) and lengths.min() == lengths.max():
        blocks = iter([rows.reshape(len(lengths), -1)] if lengths[0] else [])
    else:
        blocks = (rows[at] for at in _positions_by_length(offsets, np.arange(len(lengths))))
    if not any(_has_twice(block) for block in blocks):
        return None
    keys = (np.repeat(np.arange(len(lengths)), lengths) << 32) | rows
    keys.sort()
    twice = int(keys[np.flatnonzero(keys[1:] == keys[:-1])[0]])
    return twice >> 32, twice & 0xFFFFFFFF


def _has_twice(block: NDArray[np.int32]) -> bool:
    ordered = np.sort(block, axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())


def _positions_by_length(offsets: NDArray[np.int64], lists: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield ``(lists, length)`` positions into the flat arrays, for lists of one length at a time."""
    lengths = np.diff(offsets)[lists]
    order = np.argsort(lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        length = lengths[group[0]] if len(group) else 0
        if length > 1:
            yield offsets[lists[group]][:, None] + np.arange(length)


def _descending(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Map scores to whole numbers in the opposite order; both zeros to one number."""
    bits = (scores + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, bits, ~(bits | np.uint32(0x80000000)))


def _ascending(numbers: NDArray[np.uint32]) -> NDArray[np.float32]:
    bits = np.where(numbers >> 31, numbers, ~numbers & np.uint32(0x7FFFFFFF))
    return bits.view(np.float32)

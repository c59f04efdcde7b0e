"""MaxScore: the exact best documents without adding up every posting (Turtle and Flood, IPM 1995).

Terms come in descending order of what they can add at most. Once ``k`` documents are known, the last terms together
cannot lift a document above the least of these: their postings alone make no candidate. So a window of documents is
swept for the first terms only, and of the documents met there, those that the last terms might still lift are looked up
in these one term at a time, fewer each time; where they are many, the term is swept after all. Scores are added up in
the order of the sweep, so that they are its, to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spaniel_impacts.keys import BLOCK, ROOM, UNMET, keep_best, key_of, seek, write_best

WINDOW = 2**15
"""Documents in a window at the most."""

FIRST = 2**11
"""Documents in the first window; the next is twice as large. So the least of the best is known soon."""

NEAR = 16
"""A term with fewer postings in a window than so many a candidate is added up whole: that is faster than looking up."""

_EPSILON = 2.0**-23
"""Twice the rounding of a float32: by how much a sum may exceed its exact value, relative to it, for each number added."""

_SMALLEST = 2.0**-126
"""Below this the rounding of a float32 is no longer relative."""


@njit(cache=True, nogil=True)
def _essential(rest: NDArray[np.float64], threshold: np.float64) -> int:
    """Return how many terms make candidates: the others together add ``threshold`` at most."""
    count = len(rest) - 1
    while count > 0 and rest[count - 1] <= threshold:
        count -= 1
    return count


@njit(cache=True, nogil=True)
def _survivors(
    scratch: NDArray[np.float32], least: np.float64, first: int, allowed: Any, found: NDArray[np.int64]
) -> int:
    """Take up the documents of a window whose sum is above ``least``, by their place in it, ascending."""
    bits = scratch.view(np.int32)
    rounded = np.full(1, max(least, 0.0), np.float32)
    lowest = rounded.view(np.int32)[0] - 1  # a step lower, since it may have been rounded up
    size = 0
    for start in range(0, len(scratch), BLOCK):
        block = bits[start : start + BLOCK]
        highest = np.int32(-1)
        for value in block:
            highest = max(highest, value)
        if highest <= lowest:
            continue
        for at in range(start, start + len(block)):
            if bits[at] <= lowest or scratch[at] <= least:
                continue
            if allowed is not None and not allowed[first + at]:
                continue
            found[size] = at
            size += 1
    return size


@njit(cache=True, nogil=True)
def _add_term(
    rows: NDArray[np.uint32],
    data: NDArray[Any],
    begin: int,
    end: int,
    weight: np.float32,
    first: int,
    scratch: NDArray[np.float32],
    found: NDArray[np.int64],
    size: int,
) -> None:
    """Add what one term adds to the documents found: by its postings where these are few, else by looking up."""
    if end - begin < NEAR * size:
        for posting in range(begin, end):
            scratch[rows[posting] - np.uint32(first)] += weight * np.float32(data[posting])
        return
    at = begin
    for candidate in range(size):
        row = first + found[candidate]
        at = seek(rows, at, end, row)
        if at < end and rows[at] == row:
            scratch[found[candidate]] += weight * np.float32(data[at])


@njit(cache=True, nogil=True)
def _above(scratch: NDArray[np.float32], least: np.float64, found: NDArray[np.int64], size: int) -> int:
    """Keep the documents found whose sum is above ``least``."""
    kept = 0
    for candidate in range(size):
        place = found[candidate]
        if scratch[place] > least:
            found[kept] = place
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def maxscore(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[Any],
    bounds: NDArray[np.float32],
    offsets: NDArray[np.int64],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    allowed: Any,
    documents: int,
    first: int,
    step: int,
    out: NDArray[np.int64],
) -> None:
    """Find the best ``k`` documents of queries as :func:`spaniel_impacts.sweep.sweep` does, whose arguments these are, and

    Args:
        bounds: ``(vocabulary,)`` the greatest impact of each term.
        terms: in descending order of weight times bound, for each query.
    """
    k = out.shape[1]
    keys = np.empty(2 * k + ROOM, np.int64)
    window = min(WINDOW, documents)
    scratch = np.full(window, np.float32(-0.0), np.float32)
    found, score = np.empty(window, np.int64), np.empty(1, np.float32)
    bits, sums = score.view(np.int32), scratch.view(np.int32)
    rows = indices.view(np.uint32)
    for query in range(first, len(offsets) - 1, step):
        asked, factors = terms[offsets[query] : offsets[query + 1]], weights[offsets[query] : offsets[query + 1]]
        ends = indptr[asked].copy()
        # What the terms from each on add at most; a last entry of 0.
        rest = np.zeros(len(asked) + 1, np.float64)
        for position in range(len(asked) - 1, -1, -1):
            rest[position] = rest[position + 1] + np.float64(factors[position]) * bounds[asked[position]]
        slack = 1 - (len(asked) + 1) * _EPSILON
        size, floor, threshold = 0, np.int64(-1), -1.0
        start, limit, step_size = 0, 0, FIRST
        while limit < documents:
            start, limit = limit, min(limit + step_size, documents)
            step_size = min(2 * step_size, WINDOW)
            essential = _essential(rest, threshold)
            if not essential:
                break
            postings = 0
            for position in range(essential):
                begin, last = ends[position], indptr[asked[position] + 1]
                end = last if limit == documents else seek(rows, begin, last, limit)
                held, values, weight = rows[begin:end], data[begin:end], factors[position]
                for posting in range(len(held)):
                    scratch[held[posting] - np.uint32(start)] += weight * np.float32(values[posting])
                ends[position] = end
                postings += end - begin
            if not postings:
                continue
            # Later rows lose ties: whatever cannot pass the threshold is out.
            met = scratch[: limit - start]
            count = _survivors(met, threshold - rest[essential], start, allowed, found)
            for position in range(essential, len(asked)):
                if not count:
                    break
                last = indptr[asked[position] + 1]
                begin = seek(rows, ends[position], last, start)
                ends[position] = seek(rows, begin, last, limit)
                _add_term(rows, data, begin, ends[position], factors[position], start, met, found, count)
                count = _above(met, threshold - rest[position + 1], found, count)
            before = size
            for candidate in range(count):
                key = key_of(sums[found[candidate]], start + found[candidate])
                if key > floor:
                    keys[size] = key
                    size += 1
                    if size == len(keys):
                        floor = keep_best(keys, size, k)
                        size, before = k, 0
            sums[: limit - start] = UNMET
            if size > before and size >= k:
                floor = keep_best(keys, size, k)
                size = k
            if floor >= 0:
                bits[0] = floor >> 32
                # A sum within the rounding of the threshold might pass it.
                threshold = np.float64(score[0]) * slack - _SMALLEST
        write_best(keys, size, out[query])

"""MaxScore with bounds of blocks: the exact best documents without adding up every posting.

After Turtle and Flood (IPM 1995), and Ding and Suel (SIGIR 2011). Once it is known what the ``k``-th best document has at
least, the last terms of a query together cannot lift a document above it: their postings alone make no candidate. So a
window of documents is swept for the first terms only, and of the documents met there, those that the greatest impacts of
the last terms in the documents' blocks might still lift are looked up in these one term at a time, fewer each time; where
they are many, the term is swept after all. Scores are added up in the order of the sweep, so that they are its, to the
last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spaniel_impacts.bounds import BLOCK_BITS
from spaniel_impacts.keys import BLOCK, ROOM, UNMET, keep_best, key_of, seek, write_best

WINDOW = 2**16
"""Documents in a window at the most."""

FIRST = 2**11
"""Documents in the first window where nothing is known; the next is twice as large. So the least of the best is known soon."""

FEW = 4
"""A window with fewer postings than one document in so many is looked through by its postings."""

NEAR = 16
"""A term with fewer postings in a window than so many a candidate is added up whole: that is faster than looking up."""

_EPSILON = 2.0**-23
"""Twice the rounding of a float32: by how much a sum may exceed its exact value, relative to it, for each number added."""

_SMALLEST = 2.0**-126
"""Below this the rounding of a float32 is no longer relative."""


@njit(cache=True, nogil=True)
def _essential(rest: NDArray[np.float64], threshold: Any) -> int:
    """Return how many terms make candidates: the others together add ``threshold`` at most."""
    count = len(rest) - 1
    while count > 0 and rest[count - 1] <= threshold:
        count -= 1
    return count


@njit(cache=True, nogil=True)
def _rest_of_block(
    block: Any,
    first: int,
    asked: NDArray[np.int32],
    factors: NDArray[np.float32],
    greatest: NDArray[np.float32],
    place: NDArray[np.int32],
    maxima: NDArray[np.float32],
) -> float:
    """Return what the terms from ``first`` on add at most to a document of a block."""
    total = 0.0
    for position in range(first, len(asked)):
        line = place[asked[position]]
        most = maxima[line, block] if line >= 0 else greatest[asked[position]]
        total += np.float64(factors[position]) * np.float64(most)
    return total


@njit(cache=True, nogil=True)
def _find(rows: NDArray[np.uint32], begin: Any, end: Any, row: Any) -> Any:
    """Return the first position from ``begin`` to ``end`` whose row is ``row`` or more."""
    while begin < end:
        middle = (begin + end) >> 1
        if rows[middle] < row:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)
def maxscore(
    indptr: NDArray[Any],
    indices: NDArray[np.int32],
    data: NDArray[Any],
    greatest: NDArray[np.float32],
    place: NDArray[np.int32],
    maxima: NDArray[np.float32],
    starts: NDArray[Any],
    kth: NDArray[np.float32],
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
        greatest, place, maxima, starts: those of :class:`spaniel_impacts.bounds.Bounds`, prepared for ``terms``.
        kth: what its ``prepare`` returned for the ``k`` of ``out``.
    """
    k = out.shape[1]
    keys = np.empty(2 * k + ROOM, np.int64)
    scratch = np.full(min(WINDOW, documents), np.float32(-0.0), np.float32)
    found, partial = np.empty(len(scratch), np.int64), np.empty(len(scratch), np.float32)
    score = np.empty(1, np.float32)
    bits, sums = score.view(np.int32), scratch.view(np.int32)
    rows = indices.view(np.uint32)
    for query in range(first, len(offsets) - 1, step):
        asked, factors = terms[offsets[query] : offsets[query + 1]], weights[offsets[query] : offsets[query + 1]]
        begins, ends = indptr[asked].copy(), indptr[asked].copy()
        # What the terms from each on add at most; a last entry of 0.
        rest = np.zeros(len(asked) + 1, np.float64)
        known = np.float32(0)
        for position in range(len(asked) - 1, -1, -1):
            term = asked[position]
            rest[position] = rest[position + 1] + np.float64(factors[position]) * np.float64(greatest[term])
            known = max(known, factors[position] * kth[term])
        slack = 1 - (len(asked) + 1) * _EPSILON
        size, floor, threshold = 0, np.int64(-1), -1.0
        if allowed is None and known > 0:
            # Other terms only add: at least k documents have this score or more, in whatever rows.
            score[0] = known
            floor = np.int64(bits[0]) << 32
            threshold = np.float64(known) * slack - _SMALLEST
        start, limit, step_size = 0, 0, WINDOW if threshold > 0 else FIRST
        while limit < documents:
            start, limit = limit, min(limit + step_size, documents)
            step_size = min(2 * step_size, WINDOW)
            essential = _essential(rest, threshold)
            if not essential:
                break
            postings = 0
            for position in range(essential):
                begin, last, line = ends[position], indptr[asked[position] + 1], place[asked[position]]
                if line >= 0:
                    begin = indptr[asked[position]] + starts[line, start >> BLOCK_BITS]
                    end = last if limit == documents else indptr[asked[position]] + starts[line, limit >> BLOCK_BITS]
                else:
                    end = last if limit == documents else seek(rows, begin, last, limit)
                held, values, weight = rows[begin:end], data[begin:end], factors[position]
                for posting in range(len(held)):
                    scratch[held[posting] - np.uint32(start)] += weight * np.float32(values[posting])
                begins[position], ends[position] = begin, end
                postings += end - begin
            if not postings:
                continue
            met, marks = scratch[: limit - start], sums[: limit - start]
            least = threshold - rest[essential]
            score[0] = max(least, 0.0)
            lowest = bits[0] - 1  # a step lower, since it may have been rounded up
            few, count = postings * FEW < len(met), 0
            # Later rows lose ties: whatever cannot pass the threshold is out.
            if few:
                for position in range(essential):
                    for posting in range(begins[position], ends[position]):
                        at = rows[posting] - np.uint32(start)
                        mark, value = marks[at], met[at]
                        marks[at] = UNMET  # taken up once
                        if mark <= lowest or value <= least:
                            continue
                        if allowed is not None and not allowed[rows[posting]]:
                            continue
                        if essential < len(asked):
                            block = np.int64(rows[posting] >> np.uint32(BLOCK_BITS))
                            more = _rest_of_block(block, essential, asked, factors, greatest, place, maxima)
                            if value <= threshold - more:
                                continue
                        found[count], partial[count] = at, value
                        count += 1
                for candidate in range(count):
                    met[found[candidate]] = partial[candidate]
            else:
                for begin in range(0, len(met), BLOCK):
                    block_marks = marks[begin : begin + BLOCK]
                    highest = np.int32(-1)
                    for mark in block_marks:
                        highest = max(highest, mark)
                    if highest <= lowest:
                        continue
                    passed = least
                    if essential < len(asked):
                        block = np.int64((start + begin) >> BLOCK_BITS)
                        more = _rest_of_block(block, essential, asked, factors, greatest, place, maxima)
                        passed = threshold - more
                    for at in range(begin, begin + len(block_marks)):
                        if marks[at] < 0 or met[at] <= passed:
                            continue
                        if allowed is not None and not allowed[start + at]:
                            continue
                        found[count] = at
                        count += 1
            for position in range(essential, len(asked)):
                if not count:
                    break
                term, weight, line = asked[position], factors[position], place[asked[position]]
                last = indptr[term + 1]
                if line >= 0:
                    begin = indptr[term] + starts[line, start >> BLOCK_BITS]
                    end = last if limit == documents else indptr[term] + starts[line, limit >> BLOCK_BITS]
                else:
                    begin = seek(rows, ends[position], last, start)
                    end = seek(rows, begin, last, limit)
                    ends[position] = end
                if end - begin < NEAR * count:
                    for posting in range(begin, end):
                        at = rows[posting] - np.uint32(start)
                        if marks[at] >= 0:
                            met[at] += weight * np.float32(data[posting])
                else:
                    for candidate in range(count):
                        row = start + found[candidate]
                        low, high = begin, end
                        if line >= 0:
                            low = indptr[term] + starts[line, row >> BLOCK_BITS]
                            high = indptr[term] + starts[line, (row >> BLOCK_BITS) + 1]
                        at = _find(rows, low, high, row)
                        if at < high and rows[at] == row:
                            met[found[candidate]] += weight * np.float32(data[at])
                kept, passed = 0, threshold - rest[position + 1]
                for candidate in range(count):
                    place_of = found[candidate]
                    if met[place_of] > passed:
                        found[kept] = place_of
                        kept += 1
                    else:
                        marks[place_of] = UNMET
                count = kept
            before = size
            for candidate in range(count):
                key = key_of(marks[found[candidate]], start + found[candidate])
                if key > floor:
                    keys[size] = key
                    size += 1
                    if size == len(keys):
                        floor = keep_best(keys, size, k)
                        size, before = k, 0
            if few:
                for candidate in range(count):
                    marks[found[candidate]] = UNMET
            else:
                marks[:] = UNMET
            if size > before and size >= k:
                floor = keep_best(keys, size, k)
                size = k
            if floor >= 0:
                bits[0] = floor >> 32
                # A sum within the rounding of the threshold might pass it.
                threshold = np.float64(score[0]) * slack - _SMALLEST
        write_best(keys, size, out[query])

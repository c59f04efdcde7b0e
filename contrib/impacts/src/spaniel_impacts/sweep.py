"""The exact sweep: the scores of every posting of a query's terms are added up, and the best documents selected.

Documents are taken a window at a time, so that the sums of a window stay in a core's own cache however large the
collection is; see :mod:`spaniel_impacts.keys` for what the signs and bits of scores say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spaniel_impacts.keys import BLOCK, ROOM, UNMET, keep_best, key_of, seek, write_best

WINDOW = 2**16
"""Documents in a window: 256 KiB of sums."""

FEW = 4
"""A window with fewer postings than one document in so many is answered without a look at every document."""


@njit(cache=True, nogil=True)
def _collect_few(
    rows: NDArray[np.uint32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: int,
    constant: np.float32,
    allowed: Any,
    scratch: NDArray[np.float32],
    keys: NDArray[np.int64],
    size: int,
    floor: np.int64,
    k: int,
) -> tuple[int, np.int64]:
    """Walk the postings again; a document is cleared when it is taken up, so that it is taken up once."""
    bits = scratch.view(np.int32)
    score = np.empty(1, np.float32)
    for term in range(len(begins)):
        for row in rows[begins[term] : ends[term]]:
            at = row - np.uint32(first)
            if bits[at] < 0:
                continue
            score[0] = scratch[at] + constant
            bits[at] = UNMET
            if allowed is not None and not allowed[row]:
                continue
            key = key_of(score.view(np.int32)[0], row)
            if key > floor:
                keys[size] = key
                size += 1
                if size == len(keys):
                    floor = keep_best(keys, size, k)
                    size = k
    return size, floor


@njit(cache=True, nogil=True)
def _collect_many(
    first: int,
    constant: np.float32,
    allowed: Any,
    scratch: NDArray[np.float32],
    keys: NDArray[np.int64],
    size: int,
    floor: np.int64,
    k: int,
) -> tuple[int, np.int64]:
    """Look at every document, passing over blocks of which none has a better score than ``k`` others."""
    bits = scratch.view(np.int32)
    score = np.empty(1, np.float32)
    # Rows ascend, so a score that equals the least of the kept loses. With a constant, which may round two scores to
    # one, only whole scores compare.
    lowest = np.int32(floor >> 32) if constant == 0 else np.int32(-1)
    for start in range(0, len(scratch), BLOCK):
        block = bits[start : start + BLOCK]
        highest = np.int32(-1)
        for value in block:
            highest = max(highest, value)
        if highest <= lowest:
            continue
        for at in range(len(block)):
            if block[at] <= lowest:
                continue
            if allowed is not None and not allowed[first + start + at]:
                continue
            score[0] = scratch[start + at] + constant
            key = key_of(score.view(np.int32)[0], first + start + at)
            if key > floor:
                keys[size] = key
                size += 1
                if size == len(keys):
                    floor = keep_best(keys, size, k)
                    size = k
                    if constant == 0:
                        lowest = np.int32(floor >> 32)
    bits[:] = UNMET
    return size, floor


@njit(cache=True, nogil=True)
def sweep(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    terms: NDArray[np.int32],
    weights: Any,
    constants: NDArray[np.float32],
    allowed: Any,
    documents: int,
    first: int,
    step: int,
    out: NDArray[np.int64],
) -> None:
    """Find the best ``k`` documents of queries that hold at least one of their terms.

    Args:
        indptr: ``(vocabulary + 1,)``; the postings of term ``t`` are ``indptr[t]:indptr[t + 1]``.
        indices: ``(postings,)`` rows, ascending within a term.
        data: ``(postings,)`` impacts, float32 or uint8; +0.0 or more.
        offsets: ``(queries + 1,)``; the terms of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        terms: ``(query terms,)`` term numbers; a term that comes twice counts twice. Scores are added up in their order.
        weights: ``(query terms,)`` float32 by which impacts are multiplied, +0.0 or more; ``None``: by 1.
        constants: ``(queries,)`` 0 or more, added to every score of a query.
        allowed: ``(documents,)`` bool, which documents may be found; ``None``: all.
        documents: how many there are.
        first: the first query to answer.
        step: how far it is to the next one, so that several threads share the queries.
        out: ``(queries, k)`` receives keys in no order; where a list is shorter, the rest is left as it is.
    """
    k = out.shape[1]
    keys = np.empty(2 * k + ROOM, np.int64)
    scratch = np.full(min(WINDOW, documents), np.float32(-0.0), np.float32)
    rows = indices.view(np.uint32)  # unsigned, they need no test for counting from the end
    for query in range(first, len(offsets) - 1, step):
        asked = terms[offsets[query] : offsets[query + 1]]
        begins, ends = np.empty(len(asked), np.int64), indptr[asked].copy()
        size, floor = 0, np.int64(-1)
        for start in range(0, documents, WINDOW):
            limit = min(start + WINDOW, documents)
            postings = 0
            for position in range(len(asked)):
                begin, last = ends[position], indptr[asked[position] + 1]
                end = last if limit == documents else seek(rows, begin, last, limit)
                held, values = rows[begin:end], data[begin:end]
                if weights is None:
                    for posting in range(len(held)):
                        scratch[held[posting] - np.uint32(start)] += values[posting]
                else:
                    weight = weights[offsets[query] + position]
                    for posting in range(len(held)):
                        scratch[held[posting] - np.uint32(start)] += weight * np.float32(values[posting])
                begins[position], ends[position] = begin, end
                postings += end - begin
            if not postings:
                continue
            met = scratch[: limit - start]
            if postings * FEW < len(met):
                size, floor = _collect_few(
                    rows, begins, ends, start, constants[query], allowed, met, keys, size, floor, k
                )
            else:
                size, floor = _collect_many(start, constants[query], allowed, met, keys, size, floor, k)
        write_best(keys, size, out[query])

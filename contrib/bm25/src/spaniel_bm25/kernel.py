"""Scoring and selecting, compiled: exact top-k under the tie rule.

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

FEW = 4
"""A query with fewer postings than one document in so many is answered without a look at every document."""

ROOM = 256
"""Candidates kept beyond twice ``k`` before the best ``k`` are picked out of them."""

_LAST = np.int64(2**32 - 1)
_UNMET = np.int32(-(2**31))


@njit(inline="always")
def _key(bits: np.int32, row: int) -> np.int64:
    return (np.int64(bits) << 32) | (_LAST - np.int64(row))


@njit(inline="always")
def _row(key: np.int64) -> np.int64:
    return _LAST - (key & _LAST)


@njit(cache=True, nogil=True)
def _keep_best(keys: NDArray[np.int64], size: int, k: int) -> np.int64:
    """Move the ``k`` greatest of the first ``size`` keys to the front; return the least of them."""
    best = np.partition(keys[:size], size - k)[size - k :]
    keys[:k] = best
    return best[0]


@njit(cache=True, nogil=True)
def _collect_few(
    rows: NDArray[np.uint32],
    indptr: NDArray[np.int64],
    terms: NDArray[np.int32],
    constant: np.float32,
    scratch: NDArray[np.float32],
    keys: NDArray[np.int64],
    k: int,
) -> int:
    """Walk the postings again; a document is cleared when it is taken up, so that it is taken up once."""
    bits = scratch.view(np.int32)
    score = np.empty(1, np.float32)
    size, floor = 0, np.int64(-1)
    for term in terms:
        for row in rows[indptr[term] : indptr[term + 1]]:
            if bits[row] < 0:
                continue
            score[0] = scratch[row] + constant
            bits[row] = _UNMET
            key = _key(score.view(np.int32)[0], row)
            if key > floor:
                keys[size] = key
                size += 1
                if size == len(keys):
                    floor = _keep_best(keys, size, k)
                    size = k
    return size


@njit(cache=True, nogil=True)
def _collect_many(constant: np.float32, scratch: NDArray[np.float32], keys: NDArray[np.int64], k: int) -> int:
    """Look at every document, passing over blocks of which none has a better score than ``k`` others."""
    bits = scratch.view(np.int32)
    score = np.empty(1, np.float32)
    size, floor, lowest = 0, np.int64(-1), np.int32(-1)
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
            # The constant may round two scores to one, so it is added before they are compared.
            score[0] = scratch[start + at] + constant
            key = _key(score.view(np.int32)[0], start + at)
            if key > floor:
                keys[size] = key
                size += 1
                if size == len(keys):
                    floor = _keep_best(keys, size, k)
                    size = k
                    lowest = bits[_row(floor)]
    bits[:] = _UNMET
    return size


@njit(cache=True, nogil=True)
def search(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
    offsets: NDArray[np.int64],
    terms: NDArray[np.int32],
    constants: NDArray[np.float32],
    first: int,
    step: int,
    scratch: NDArray[np.float32],
    out_rows: NDArray[np.int32],
    out_scores: NDArray[np.float32],
) -> None:
    """Find the best ``k`` documents of queries that hold at least one of their terms, best first.

    Args:
        indptr: ``(vocabulary + 1,)``; the postings of term ``t`` are ``indptr[t]:indptr[t + 1]``.
        indices: ``(postings,)`` rows, ascending within a term.
        data: ``(postings,)`` scores, +0.0 or more.
        offsets: ``(queries + 1,)``; the terms of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        terms: ``(query terms,)`` term numbers; a term that comes twice counts twice.
        constants: ``(queries,)`` 0 or more, added to every score of a query.
        first: the first query to answer.
        step: how far it is to the next one, so that several threads share the queries.
        scratch: ``(documents,)`` -0.0 everywhere, and so again afterwards.
        out_rows: ``(queries, k)`` receives rows; entries past the end of a list are left as they are.
        out_scores: ``(queries, k)`` receives scores.
    """
    k = out_rows.shape[1]
    keys = np.empty(2 * k + ROOM, np.int64)
    # Unsigned, they need no test for counting from the end.
    rows, score_bits = indices.view(np.uint32), out_scores.view(np.int32)
    for query in range(first, len(offsets) - 1, step):
        asked = terms[offsets[query] : offsets[query + 1]]
        postings = 0
        for term in asked:
            held, values = rows[indptr[term] : indptr[term + 1]], data[indptr[term] : indptr[term + 1]]
            for posting in range(len(held)):
                scratch[held[posting]] += values[posting]
            postings += len(held)
        if postings * FEW < len(scratch):
            size = _collect_few(rows, indptr, asked, constants[query], scratch, keys, k)
        else:
            size = _collect_many(constants[query], scratch, keys, k)
        best = np.sort(keys[:size])[::-1][:k]
        for rank in range(len(best)):
            out_rows[query, rank] = _row(best[rank])
            score_bits[query, rank] = best[rank] >> 32


@njit(cache=True, nogil=True)
def count_postings(
    lengths: NDArray[np.int64], ids: NDArray[np.int32], start: int, last: NDArray[np.int32], df: NDArray[np.int64]
) -> None:
    """Add a batch of documents to the document frequencies of its terms.

    Args:
        lengths: ``(documents,)`` tokens per document.
        ids: ``(tokens,)`` term numbers.
        start: row of the first document.
        last: ``(terms,)`` the last row that held a term so far, -1 at first; kept from batch to batch.
        df: ``(terms,)`` receives the frequencies.
    """
    at = 0
    for document in range(len(lengths)):
        row = start + document
        for token in range(at, at + lengths[document]):
            term = ids[token]
            if last[term] != row:
                last[term] = row
                df[term] += 1
        at += lengths[document]


@njit(cache=True, nogil=True)
def fill_postings(
    lengths: NDArray[np.int64],
    ids: NDArray[np.int32],
    start: int,
    last: NDArray[np.int32],
    ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    counts: NDArray[np.float32],
) -> None:
    """Add a batch of documents to the postings of its terms; the arguments are those of :func:`count_postings`, and

    Args:
        ends: ``(terms,)`` where the next posting of a term goes; kept from batch to batch.
        indices: ``(postings,)`` receives the rows, ascending within a term.
        counts: ``(postings,)`` receives how often the term occurs there.
    """
    at = 0
    for document in range(len(lengths)):
        row = start + document
        for token in range(at, at + lengths[document]):
            term = ids[token]
            if last[term] != row:
                last[term] = row
                indices[ends[term]] = row
                counts[ends[term]] = 1
                ends[term] += 1
            else:
                counts[ends[term] - 1] += 1
        at += lengths[document]

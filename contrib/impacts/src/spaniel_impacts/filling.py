"""From documents to postings by term, compiled: in time linear in what is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spaniel_impacts.building import BEYOND, NEGATIVE, TWICE


@njit(cache=True, nogil=True)
def count_tokens(
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
def fill_tokens(
    lengths: NDArray[np.int64],
    ids: NDArray[np.int32],
    start: int,
    last: NDArray[np.int32],
    ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    counts: NDArray[np.float32],
) -> None:
    """Add a batch of documents to the postings of its terms; the arguments are those of :func:`count_tokens`, and

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


@njit(cache=True, nogil=True)
def count_weights(
    indptr: NDArray[np.int64],
    terms: NDArray[np.int32],
    values: NDArray[np.float32],
    start: int,
    df: NDArray[np.int64],
    bounds: NDArray[np.float32],
) -> tuple[int, int]:
    """Count the postings of each term of sparse vectors, and find its greatest weight; weights of 0 count nothing.

    Args:
        indptr: ``(documents + 1,)``; the terms of document ``d`` are ``indptr[d]:indptr[d + 1]``.
        terms: ``(entries,)`` term numbers.
        values: ``(entries,)`` weights.
        start: row of the first document.
        df: ``(terms,)`` the counts; kept from batch to batch, as the next.
        bounds: ``(terms,)`` the greatest weights.

    Returns:
        0 and -1, or what is wrong and the first row where it is.
    """
    last = np.full(len(df), -1, np.int64)
    for row in range(len(indptr) - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            term, value = terms[entry], values[entry]
            if term < 0 or term >= len(df):
                return BEYOND, start + row
            if not (value >= 0 and value < np.inf):
                return NEGATIVE, start + row
            if last[term] == row:
                return TWICE, start + row
            last[term] = row
            if value > 0:
                df[term] += 1
                bounds[term] = max(bounds[term], value)
    return 0, -1


@njit(cache=True, nogil=True)
def fill_weights(
    indptr: NDArray[np.int64],
    terms: NDArray[np.int32],
    values: NDArray[np.float32],
    start: int,
    steps: Any,
    ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[Any],
) -> None:
    """Turn sparse vectors into postings; the first arguments are those of :func:`count_weights`.

    Args:
        steps: ``(terms,)`` float32, the weight of a term that is stored as 1; ``None`` stores weights as they are.
        ends: ``(terms,)`` where the next posting of a term goes; kept from batch to batch.
        indices: ``(postings,)`` receives the rows, ascending within a term.
        data: ``(postings,)`` receives the weights, float32, or uint8 where there are steps.
    """
    for row in range(len(indptr) - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            term, value = terms[entry], values[entry]
            if value > 0:
                at = ends[term]
                indices[at] = start + row
                if steps is None:
                    data[at] = value
                else:
                    data[at] = np.uint8(min(255.0, np.rint(np.float64(value) / steps[term])))
                ends[term] = at + 1

"""Scoring and selecting, compiled: exact top-k under the tie rule, in parallel over queries."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray


@njit(inline="always")
def _is_worse(score_a: float, row_a: int, score_b: float, row_b: int) -> bool:
    return score_a < score_b or (score_a == score_b and row_a > row_b)


@njit
def _sift_down(scores: NDArray[np.float32], rows: NDArray[np.int32], root: int, size: int) -> None:
    # A heap with the worst entry on top.
    while True:
        worst = root
        left = 2 * root + 1
        if left < size and _is_worse(scores[left], rows[left], scores[worst], rows[worst]):
            worst = left
        right = left + 1
        if right < size and _is_worse(scores[right], rows[right], scores[worst], rows[worst]):
            worst = right
        if worst == root:
            return
        scores[root], scores[worst] = scores[worst], scores[root]
        rows[root], rows[worst] = rows[worst], rows[root]
        root = worst


@njit(parallel=True, cache=True)
def search(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
    documents: int,
    offsets: NDArray[np.int64],
    terms: NDArray[np.int32],
    constants: NDArray[np.float32],
    k: int,
    threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the best ``k`` documents of each query that hold at least one of its terms.

    Args:
        indptr: ``(vocabulary + 1,)``; the postings of term ``t`` are ``indptr[t]:indptr[t + 1]``.
        indices: ``(postings,)`` rows, ascending within a term.
        data: ``(postings,)`` scores.
        documents: number of documents.
        offsets: ``(queries + 1,)``; the terms of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        terms: ``(query terms,)`` term numbers; a term that comes twice counts twice.
        constants: ``(queries,)`` added to every score of a query.
        k: how many.
        threads: how many threads share the queries; each has scratch space of one float and one integer a document.

    Returns:
        rows ``(queries, k)`` int32 (-1 past the end of a list) and scores ``(queries, k)`` float32.
    """
    queries = len(offsets) - 1
    out_rows = np.full((queries, k), -1, np.int32)
    out_scores = np.zeros((queries, k), np.float32)
    for thread in prange(threads):
        scores = np.zeros(documents, np.float32)
        seen = np.zeros(documents, np.int32)
        touched = np.empty(documents, np.int32)
        for query in range(thread, queries, threads):
            mark = query + 1
            count = 0
            for at in range(offsets[query], offsets[query + 1]):
                term = terms[at]
                for posting in range(indptr[term], indptr[term + 1]):
                    row = indices[posting]
                    if seen[row] != mark:
                        seen[row] = mark
                        scores[row] = 0
                        touched[count] = row
                        count += 1
                    scores[row] += data[posting]
            best_rows, best_scores = out_rows[query], out_scores[query]
            size = min(k, count)
            for i in range(size):
                best_rows[i] = touched[i]
                best_scores[i] = scores[touched[i]]
            for root in range(size // 2 - 1, -1, -1):
                _sift_down(best_scores, best_rows, root, size)
            for i in range(size, count):
                row = touched[i]
                if _is_worse(best_scores[0], best_rows[0], scores[row], row):
                    best_scores[0], best_rows[0] = scores[row], row
                    _sift_down(best_scores, best_rows, 0, size)
            for end in range(size - 1, 0, -1):
                best_scores[0], best_scores[end] = best_scores[end], best_scores[0]
                best_rows[0], best_rows[end] = best_rows[end], best_rows[0]
                _sift_down(best_scores, best_rows, 0, end)
            for i in range(size):
                best_scores[i] += constants[query]
    return out_rows, out_scores

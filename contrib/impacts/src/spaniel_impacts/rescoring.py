"""Exact scores of documents that were found otherwise, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from spaniel.data import SparseVectors


def score_rows(
    queries: SparseVectors, documents: SparseVectors, offsets: NDArray[np.int64], rows: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return inner products: ``(len(rows),)`` float32, summed in float64 in the order of a document's terms.

    Args:
        queries: one vector a query.
        documents: one vector a row.
        offsets: ``(queries + 1,)``; the rows of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        rows: of documents.
    """
    scores = np.empty(len(rows), np.float32)
    asked = (queries.indptr, queries.indices, queries.values)
    held = (documents.indptr, documents.indices, documents.values)
    _score(*asked, *held, documents.width, offsets, rows, scores)
    return scores


@njit(cache=True, nogil=True)
def _score(
    asked_bounds: NDArray[np.int64],
    asked_terms: NDArray[np.int32],
    asked_weights: NDArray[np.float32],
    bounds: NDArray[np.int64],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    width: int,
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    whole = np.zeros(width, np.float64)
    for query in range(len(offsets) - 1):
        for entry in range(asked_bounds[query], asked_bounds[query + 1]):
            whole[asked_terms[entry]] = asked_weights[entry]
        for place in range(offsets[query], offsets[query + 1]):
            total = 0.0
            for entry in range(bounds[rows[place]], bounds[rows[place] + 1]):
                total += whole[terms[entry]] * weights[entry]
            scores[place] = total
        for entry in range(asked_bounds[query], asked_bounds[query + 1]):
            whole[asked_terms[entry]] = 0

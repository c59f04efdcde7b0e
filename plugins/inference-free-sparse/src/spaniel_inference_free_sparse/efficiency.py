"""What a search costs, by the paper's measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spaniel.data import SparseVectors


def flops(queries: SparseVectors, documents: SparseVectors) -> float:
    """Return Σ over terms of the share of queries times the share of documents that have it.

    It is the mean over all pairs of how many terms a query and a document have in common, which is how many products their
    score takes.
    """
    if not len(queries) or not len(documents):
        return 0.0
    asked, held = (np.bincount(v.indices[v.values != 0], minlength=v.width) / len(v) for v in (queries, documents))
    return float(asked @ held)


def mean_terms(vectors: SparseVectors) -> float:
    """Return how many terms a vector has on average."""
    return float(np.count_nonzero(vectors.values)) / len(vectors) if len(vectors) else 0.0


def light_share(
    documents: SparseVectors, idf: NDArray[np.float32], terms: NDArray[np.int64], share: float = 0.05
) -> float:
    """Return what part of the documents' weight is on the terms of the lowest IDF.

    Args:
        documents: their weights.
        idf: ``(vocabulary,)``.
        terms: which terms are looked at; the same for encoders that are compared.
        share: of these, at the lowest IDF; of equal ones the lower term.
    """
    mass = np.bincount(documents.indices, documents.values, minlength=documents.width)[terms]
    lowest = np.lexsort((terms, idf[terms]))[: max(1, round(share * len(terms)))]
    return float(mass[lowest].sum() / max(mass.sum(), np.finfo(float).tiny))

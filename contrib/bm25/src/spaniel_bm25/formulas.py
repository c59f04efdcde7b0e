"""The variants of BM25, as Kamphuis et al. (ECIR 2020) write them down.

A score is a sum over query terms of idf · tf-part. In BM25L and BM25+ a term that does not occur counts, too: the index
holds what occurrence adds to that, and the constant is added once a query.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spaniel_bm25.config import Method

Floats = NDArray[np.float64]


def idf(method: Method, df: Floats, documents: int) -> Floats:
    """Return the inverse document frequency of terms that occur in ``df`` documents, ``(terms,)``."""
    n = float(documents)
    if method == "lucene":
        return np.log(1 + (n - df + 0.5) / (df + 0.5))
    if method == "robertson":
        # Terms in more than half of the documents would count against them; they count nothing.
        return np.log(np.maximum(1.0, (n - df + 0.5) / (df + 0.5)))
    if method == "atire":
        return np.log(n / df)
    if method == "bm25l":
        return np.log((n + 1) / (df + 0.5))
    return np.log((n + 1) / df)


def tf_part(method: Method, tf: Floats, length: Floats, k1: float, b: float, delta: float) -> Floats:
    """Return the part of a score that depends on the document.

    Args:
        method: the variant.
        tf: occurrences of a term in a document, ``(entries,)``.
        length: length of that document divided by the mean length, ``(entries,)``.
        k1: saturation.
        b: length normalisation.
        delta: lower bound, in BM25L and BM25+.
    """
    norm = 1 - b + b * length
    if method in ("lucene", "robertson"):
        return tf / (tf + k1 * norm)
    if method == "atire":
        return tf * (k1 + 1) / (tf + k1 * norm)
    if method == "bm25l":
        c = tf / norm
        return (k1 + 1) * (c + delta) / (k1 + c + delta)
    return tf * (k1 + 1) / (tf + k1 * norm) + delta


def absent_part(method: Method, k1: float, delta: float) -> float:
    """Return the tf-part of a term that does not occur: above 0 in BM25L and BM25+ alone."""
    if method == "bm25l":
        return (k1 + 1) * delta / (k1 + delta) if k1 + delta else 0.0
    return delta if method == "bm25+" else 0.0

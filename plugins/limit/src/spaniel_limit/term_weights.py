"""The weights of terms by which a retriever scores documents, as one sparse matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix
from spaniel.encoding import corpus_vectors

if TYPE_CHECKING:
    from spaniel import Context, Corpus
    from spaniel.data import SparseVectors

BY_TERMS = ("sparse", "two-phase", "bm25")
"""Retrievers that search by weights of terms."""


def term_weights(context: Context, retriever: Any, corpus: Corpus) -> Any | None:
    """Return what documents add to a score for each term: a sparse matrix ``(documents, terms)``.

    Of BM25 these are the impacts in its index: a score is their sum over a query's terms, times their number in the query.

    Args:
        context: the session.
        retriever: one of those named in ``BY_TERMS``.
        corpus: the documents.

    Returns:
        ``None`` where terms that a document lacks count, too, as in some formulas of BM25.
    """
    encoder = getattr(retriever.config, "encoder", None)
    if encoder is not None:
        vectors = cast("SparseVectors", corpus_vectors(context, encoder, corpus.need, "sparse"))
        return csr_matrix((vectors.values, vectors.indices, vectors.indptr), shape=(len(vectors), vectors.width))
    index = retriever.index(corpus)
    if index.absent.any():
        return None
    postings = index.postings
    columns = (np.asarray(postings.data), np.asarray(postings.indices), np.asarray(postings.indptr))
    return csc_matrix(columns, shape=(len(postings), postings.terms)).tocsr()

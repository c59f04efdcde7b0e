"""BM25 for Spaniel: an indexer, a retriever and an explainer."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, hookimpl

_PAPER = "Robertson et al., Okapi at TREC-3, 1994; variants as in Kamphuis et al., Which BM25 Do You Mean?, ECIR 2020"


@hookimpl
def index() -> Iterator[Component]:
    yield Component(
        "bm25",
        config="spaniel_bm25.config:Bm25Index",
        factory="spaniel_bm25.indexer:Bm25Indexer",
        summary="BM25 scores of every term in every document, computed when the index is built",
        paper="Lù, BM25S: Orders of magnitude faster lexical search via eager sparse scoring, 2024",
        takes=("corpus",),
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "bm25",
        config="spaniel_bm25.config:Bm25",
        factory="spaniel_bm25.retriever:Bm25Retriever",
        summary="lexical retrieval by BM25: Lucene's, Robertson's, ATIRE's, BM25L or BM25+",
        paper=_PAPER,
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "bm25-terms",
        factory="spaniel_bm25.explainer:Bm25Terms",
        summary="what each query term adds to a BM25 score, exactly",
        takes=("retrieve/bm25",),
    )

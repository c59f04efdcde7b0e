"""Dense retrieval for Spaniel: encoders, exact search, a retriever and an explainer."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, hookimpl

_ENCODER = "spaniel_dense.encoder:SentenceEncoder"
_OPTIONS = "spaniel_dense.config:SentenceTransformer"


@hookimpl
def encode() -> Iterator[Component]:
    yield Component(
        "sentence-transformer",
        config=_OPTIONS,
        factory=_ENCODER,
        summary="any sentence-transformers or transformers model, by folder or name",
        paper="Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
        gives=("dense",),
    )
    yield Component(
        "minilm",
        config=_OPTIONS,
        factory=_ENCODER,
        summary="all-MiniLM-L6-v2, 384 dimensions",
        paper="Wang et al., MiniLM, NeurIPS 2020; trained by the sentence-transformers project",
        gives=("dense",),
        options={"model": "sentence-transformers/all-MiniLM-L6-v2"},
    )


@hookimpl
def index() -> Iterator[Component]:
    yield Component(
        "flat",
        config="spaniel_dense.config:Flat",
        factory="spaniel_dense.flat:FlatIndexer",
        summary="exact search over dense vectors",
        takes=("dense",),
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "dense",
        config="spaniel_dense.config:Dense",
        factory="spaniel_dense.retriever:DenseRetriever",
        summary="retrieval by the similarity of dense vectors",
        paper="Karpukhin et al., Dense Passage Retrieval, EMNLP 2020",
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "dense-occlusion",
        config="spaniel_dense.config:Occlusion",
        factory="spaniel_dense.explainer:DenseOcclusion",
        summary="how much the score falls when a word is left out",
        paper="Li, Monroe and Jurafsky, Understanding Neural Networks through Representation Erasure, 2016",
        takes=("retrieve/dense",),
    )

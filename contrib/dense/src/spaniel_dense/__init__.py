"""Dense retrieval for Spaniel: encoders, exact search, a retriever and an explainer."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, hookimpl

_CONFIG = "spaniel_dense.config:SentenceEncoderConfig"
_FACTORY = "spaniel_dense.encoder:SentenceEncoder"
_PAPER = "Reimers and Gurevych, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, EMNLP 2019"


@hookimpl
def encode() -> Iterator[Component]:
    yield Component(
        "sentence-transformer",
        config=_CONFIG,
        factory=_FACTORY,
        summary="any sentence encoder: a sentence-transformers or transformers folder, or a name on the hub",
        paper=_PAPER,
        gives=("dense",),
    )
    yield Component(
        "minilm",
        config=_CONFIG,
        factory=_FACTORY,
        summary="all-MiniLM-L6-v2: 384 dimensions, 22.7 M parameters, English",
        paper="Wang et al., MiniLM, NeurIPS 2020; trained by the sentence-transformers project",
        gives=("dense",),
        options={"model": "sentence-transformers/all-MiniLM-L6-v2"},
    )


@hookimpl
def index() -> Iterator[Component]:
    yield Component(
        "flat",
        factory="spaniel_dense.flat:FlatIndexer",
        summary="exact search over dense vectors, memory-mapped",
        takes=("dense",),
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "dense",
        config="spaniel_dense.config:DenseConfig",
        factory="spaniel_dense.retriever:DenseRetriever",
        summary="retrieval by one vector a text: any dense encoder over any index of dense vectors",
        paper="Karpukhin et al., Dense Passage Retrieval for Open-Domain Question Answering, EMNLP 2020",
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "dense-occlusion",
        config="spaniel_dense.config:OcclusionConfig",
        factory="spaniel_dense.occlusion:DenseOcclusion",
        summary="how much the score falls when a word is left out",
        paper="Li, Monroe and Jurafsky, Understanding Neural Networks through Representation Erasure, 2016",
        takes=("retrieve/dense",),
    )

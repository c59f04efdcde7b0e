"""Dense retrieval for Spaniel: encoders, indexes, retrievers."""

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
    yield Component(
        "faiss",
        config="spaniel_dense.config:FaissConfig",
        factory="spaniel_dense.faiss_index:FaissIndexer",
        summary="approximate search by faiss: HNSW, IVF, PQ and the rest of its factory strings; true scores",
        paper="Douze et al., The Faiss library, 2024",
        takes=("dense",),
        extra="faiss",
    )
    yield Component(
        "usearch",
        config="spaniel_dense.config:UsearchConfig",
        factory="spaniel_dense.usearch_index:UsearchIndexer",
        summary="approximate search in a memory-mapped graph of half precision or bytes; true scores",
        paper="Malkov and Yashunin, Hierarchical Navigable Small World graphs, TPAMI 2020",
        takes=("dense",),
        extra="usearch",
    )
    yield Component(
        "quantized",
        config="spaniel_dense.config:QuantizedConfig",
        factory="spaniel_dense.quantized:QuantizedIndexer",
        summary="approximate search over a byte or a bit for each number, rescored by the vectors; true scores",
        paper="Yamada, Asai and Hajishirzi, Binary Passage Retriever, ACL 2021",
        takes=("dense",),
    )
    yield Component(
        "sharded",
        config="spaniel_dense.config:ShardedConfig",
        factory="spaniel_dense.sharded:ShardedIndexer",
        summary="any index of dense vectors in shards with an exact merge",
        takes=("dense",),
    )
    yield Component(
        "maxsim",
        factory="spaniel_dense.maxsim:MaxSimIndexer",
        summary="exact search over several vectors a text, memory-mapped",
        paper="Khattab and Zaharia, ColBERT, SIGIR 2020",
        takes=("multi-vector",),
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
    yield Component(
        "multi-vector",
        config="spaniel_dense.config:MultiVectorConfig",
        factory="spaniel_dense.retriever:MultiVectorRetriever",
        summary="retrieval by several vectors a text: each vector of the query counts its best match",
        paper="Khattab and Zaharia, ColBERT, SIGIR 2020",
    )

"""Reranking for Spaniel: cross-encoders, one that trains itself, and MaxSim over token vectors."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, hookimpl

_CROSS = "Nogueira and Cho, Passage Re-ranking with BERT, 2019"
_COLBERT = "Khattab and Zaharia, ColBERT: Efficient and Effective Passage Search …, SIGIR 2020"


@hookimpl
def rerank() -> Iterator[Component]:
    yield Component(
        "cross-encoder",
        config="spaniel_rerankers.config:CrossEncoderConfig",
        factory="spaniel_rerankers.cross_encoder:CrossEncoder",
        summary="any model that reads query and document together; scores are kept in the store",
        paper=_CROSS,
        extra="sentence-transformers",
    )
    yield Component(
        "tiny-cross-encoder",
        config="spaniel_rerankers.config:TinyCrossEncoderConfig",
        factory="spaniel_rerankers.tiny:TinyCrossEncoder",
        summary="a cross-encoder of 4.4 M parameters, trained on your collection when it is first used",
        paper="Gao, Dai and Callan, Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline, ECIR 2021",
        extra="bert-tiny",
    )
    yield Component(
        "maxsim",
        config="spaniel_rerankers.config:MaxSimConfig",
        factory="spaniel_rerankers.maxsim:MaxSim",
        summary="late interaction: each token of the query finds its best match in the document",
        paper=_COLBERT,
    )


@hookimpl
def encode() -> Iterator[Component]:
    yield Component(
        "token-encoder",
        config="spaniel_rerankers.config:TokenEncoderConfig",
        factory="spaniel_rerankers.token_encoder:TokenEncoder",
        summary="a vector a token, from any transformer or ColBERT-style folder; all-MiniLM-L6-v2 by default",
        paper=_COLBERT,
        gives=("multi-vector",),
        extra="sentence-transformers",
    )

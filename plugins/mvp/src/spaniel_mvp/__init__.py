"""MVP for Spaniel: multi-view listwise reranking, its objectives, its training, and an explainer of its views."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, Experiment, hookimpl

_CONFIG = "spaniel_mvp.config:"
_PAPER = "Na et al., Multi-view-guided Passage Reranking with Large Language Models, EMNLP 2025"


@hookimpl
def rerank() -> Iterator[Component]:
    yield Component(
        "mvp",
        config=f"{_CONFIG}MvpConfig",
        factory="spaniel_mvp.reranker:Mvp",
        summary="lists ranked by several views of each passage and one decoding step, whatever their order",
        paper=_PAPER,
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "mvp-views",
        factory="spaniel_mvp.explainer:MvpViews",
        summary="what each view adds to a score of mvp, how far the views agree, and what their anchors attend to; exact",
        paper=_PAPER,
        takes=("rerank/mvp",),
    )


@hookimpl
def trainee() -> Iterator[Component]:
    yield Component(
        "mvp",
        config=f"{_CONFIG}MvpTraineeConfig",
        factory="spaniel_mvp.training:MvpMaker",
        summary="scores of whole lists, by views and anchors; from a T5, or an encoder with a small decoder",
        paper=_PAPER,
    )


@hookimpl
def objective() -> Iterator[Component]:
    yield Component(
        "inverse-rank",
        config=f"{_CONFIG}InverseRankConfig",
        factory="spaniel_mvp.objectives:InverseRank",
        summary="a distribution over the list by the inverse of each text's rank, or the order itself",
        paper=_PAPER,
    )
    yield Component(
        "anchor-orthogonal",
        factory="spaniel_mvp.objectives:AnchorOrthogonal",
        summary="anchors of different views at right angles",
        paper=_PAPER,
    )


@hookimpl
def synthesize() -> Iterator[Component]:
    yield Component(
        "sampled-lists",
        config=f"{_CONFIG}SampledListsConfig",
        factory="spaniel_mvp.lists:SampledLists",
        summary="many short lists drawn of each query's long one, with the scores of whatever ranked it",
        paper=_PAPER,
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "mvp",
        run="spaniel_mvp.reproduce:run",
        claim="views and anchors rank a list in one decoding step, whatever its order",
        paper=_PAPER,
        minutes=8,
        collection="python-docs",
        extra="reproduce",
    )

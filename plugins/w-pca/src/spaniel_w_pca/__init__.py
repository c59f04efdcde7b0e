"""W-PCA (Wang, ICLR 2025): a space of small encoders, a proxy without gradients, and distillation of what is found."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Experiment, hookimpl

_PACKAGE = "spaniel_w_pca"
_PAPER = "Wang, W-PCA Based Gradient-Free Proxy for Efficient Search of Lightweight Language Models, ICLR 2025"


@hookimpl
def search_space() -> Iterator[Component]:
    yield Component(
        "nlu-bert-mobilebert",
        config=f"{_PACKAGE}.config:NluConfig",
        factory=f"{_PACKAGE}.nlu:NluSpace",
        summary="small encoders, each block BERT's or MobileBERT's with one of six feed-forward widths",
        paper=_PAPER,
        role="space",
    )
    for name, factory, summary in (
        ("v-pca", "VPca", "principal components of what the feed-forward linears gave, in one pass without gradients"),
        ("w-pca", "WPca", "the same times the number of parameters"),
    ):
        yield Component(
            name,
            config=f"{_PACKAGE}.config:PcaConfig",
            factory=f"{_PACKAGE}.proxies:{factory}",
            summary=summary,
            paper=_PAPER,
            role="proxy",
        )
    yield Component(
        "averaged",
        config=f"{_PACKAGE}.config:AveragedConfig",
        factory=f"{_PACKAGE}.proxies:Averaged",
        summary="the mean of a proxy over fresh weights and batches of texts",
        paper=_PAPER,
        role="proxy",
    )


@hookimpl(optionalhook=True)
def trainee() -> Iterator[Component]:
    yield Component(
        "layerwise-encoder",
        config=f"{_PACKAGE}.config:LayerwiseTraineeConfig",
        factory=f"{_PACKAGE}.learning:LayerwiseMaker",
        summary="a bi-encoder that learns from the layers of a larger one",
        paper=_PAPER,
        extra="train",
    )


@hookimpl(optionalhook=True)
def objective() -> Iterator[Component]:
    yield Component(
        "layerwise-kd",
        config=f"{_PACKAGE}.config:LayerwiseConfig",
        factory=f"{_PACKAGE}.distillation:LayerwiseKd",
        summary="the teacher's embedding, attention outputs and hidden states, layer by layer",
        paper=_PAPER,
        extra="train",
    )
    yield Component(
        "prediction-kd",
        config=f"{_PACKAGE}.config:PredictionConfig",
        factory=f"{_PACKAGE}.distillation:PredictionKd",
        summary="the teacher's distribution over the texts of a batch",
        paper=f"{_PAPER}; Huang et al., DIST, NeurIPS 2022",
        extra="train",
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command(
        "architectures",
        f"{_PACKAGE}.cli:architectures",
        "search a space of encoders by a proxy, and write what was found",
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "w-pca",
        f"{_PACKAGE}.reproduce:run",
        claim="principal components and size, in one pass without gradients, find small encoders that learn best",
        paper=_PAPER,
        minutes=7,
        collection="python-docs",
        extra="reproduce",
    )

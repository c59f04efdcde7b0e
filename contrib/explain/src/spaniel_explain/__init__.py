"""Explanations for Spaniel: of words left out, of gradients, of matches and of ranks, and measures of their faithfulness."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, hookimpl

_CONFIG = "spaniel_explain.config:"
_ANY = ("retrieve/*", "rerank/*")


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "occlusion",
        config=f"{_CONFIG}OcclusionConfig",
        factory="spaniel_explain.occlusion:Occlusion",
        summary="how much a score falls when a word, sentence or passage is left out",
        paper="Li, Monroe and Jurafsky, Understanding Neural Networks through Representation Erasure, 2016",
        takes=("retrieve/dense", "rerank/cross-encoder", "rerank/tiny-cross-encoder", *_ANY),
    )
    yield Component(
        "shapley",
        config=f"{_CONFIG}ShapleyConfig",
        factory="spaniel_explain.shapley:Shapley",
        summary="what words add to a score on average over the orders of adding them; adds up exactly",
        paper="Lundberg and Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS 2017",
        takes=_ANY,
    )
    yield Component(
        "integrated-gradients",
        config=f"{_CONFIG}IntegratedGradientsConfig",
        factory="spaniel_explain.integrated:IntegratedGradients",
        summary="gradients of a score, integrated from a text of empty tokens to the text; the gap is stated",
        paper="Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017",
        takes=_ANY,
    )
    yield Component(
        "gradient-input",
        config=f"{_CONFIG}GradientConfig",
        factory="spaniel_explain.integrated:GradientInput",
        summary="the gradient of a score times the input: one pass of the model",
        paper="Shrikumar, Greenside and Kundaje, Learning Important Features Through Propagating …, ICML 2017",
        takes=_ANY,
    )
    yield Component(
        "head-gradients",
        config=f"{_CONFIG}HeadConfig",
        factory="spaniel_explain.heads:HeadGradients",
        summary="the gradient of a score times the output of each attention head",
        paper="Michel, Levy and Neubig, Are Sixteen Heads Really Better than One?, NeurIPS 2019",
        takes=_ANY,
    )
    yield Component(
        "maxsim-matches",
        factory="spaniel_explain.matches:MaxSimMatches",
        summary="which token of the document each token of the query matches, and what that adds; exact",
        paper="Khattab and Zaharia, ColBERT, SIGIR 2020",
        takes=("retrieve/multi-vector", "rerank/maxsim", *_ANY),
    )
    yield Component(
        "vector-dimensions",
        config=f"{_CONFIG}DimensionsConfig",
        factory="spaniel_explain.dimensions:VectorDimensions",
        summary="what each dimension of two dense vectors adds to their inner product; exact",
        takes=("retrieve/*",),
    )
    yield Component(
        "stage-moves",
        factory="spaniel_explain.moves:StageMoves",
        summary="which stage of a pipeline moved a document from which rank to which; exact",
        takes=("pipeline",),
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("faithfulness", "spaniel_explain.command:faithfulness", "measure how faithful explainers are")

"""Tokenizer transplantation for Spaniel: offers the adapter ``omp-tokenizer``."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, Experiment, hookimpl

_PAPER = "Goddard and Fernandes Neto, Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit, 2025"


@hookimpl
def adapt() -> Iterator[Component]:
    yield Component(
        "omp-tokenizer",
        config="spaniel_omp_tokenizer.config:OmpTokenizerConfig",
        factory="spaniel_omp_tokenizer.adapter:OmpTokenizer",
        summary="another model's tokenizer, without training: new tokens' vectors from those that both models know",
        paper=_PAPER,
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "omp-tokenizer",
        "spaniel_omp_tokenizer.reproduce:run",
        "with another model's tokenizer a model stays nearest to what it was when new tokens are sparse combinations",
        _PAPER,
        minutes=4,
        collection="python-docs",
        extra="reproduce",
    )

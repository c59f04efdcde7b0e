"""Language models for Spaniel: adds the kind ``language_model``, the command ``lm`` and the reranker ``listwise``."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Kind, hookimpl

_LOCAL = "spaniel_lm.local.model:LocalModel"


@hookimpl
def kinds() -> Iterator[Kind]:
    yield Kind(
        "language_model",
        "prompts → answers, and log-probabilities of given continuations",
        {"": "spaniel_lm.protocol:LanguageModel"},
        hookspecs="spaniel_lm.hookspecs",
    )


@hookimpl
def language_model() -> Iterator[Component]:
    yield Component(
        "transformers",
        config="spaniel_lm.config:LocalConfig",
        factory=_LOCAL,
        summary="any causal, masked or sequence-to-sequence model of transformers, GGUF files included",
    )
    yield Component(
        "smollm2",
        config="spaniel_lm.config:LocalConfig",
        factory=_LOCAL,
        summary="SmolLM2-135M-Instruct: the default, small enough for a CPU",
        paper="Ben Allal et al., SmolLM2: When Smol Goes Big, 2025",
        options={"model": "HuggingFaceTB/SmolLM2-135M-Instruct"},
    )
    yield Component(
        "openai",
        config="spaniel_lm.config:RemoteConfig",
        factory="spaniel_lm.remote.model:RemoteModel",
        summary="any server that speaks OpenAI's protocol",
    )
    yield Component(
        "recorded",
        config="spaniel_lm.config:RecordedConfig",
        factory="spaniel_lm.recording:RecordedModel",
        summary="another language model whose answers are kept in the store, and asked for once",
    )
    yield Component(
        "replay",
        config="spaniel_lm.config:ReplayConfig",
        factory="spaniel_lm.replaying:ReplayModel",
        summary="answers from a file of recorded ones; no model, no server",
    )


@hookimpl
def rerank() -> Iterator[Component]:
    yield Component(
        "listwise",
        config="spaniel_lm.config:ListwiseConfig",
        factory="spaniel_lm.listwise.reranker:ListwiseReranker",
        summary="a language model orders lists of passages: sliding windows, one pass or a tournament",
        paper="Sun et al., Is ChatGPT Good at Search? Investigating Large Language Models as Re-Ranking Agents, EMNLP 2023",
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("lm", "spaniel_lm.cli:lm", "list, ask, score and serve language models")

"""What is asked of a model, held against what it can do, before anything is computed or paid for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spaniel import UsageError

from spaniel_lm.protocol import Capability, Constraint, Generation, Message, Processor, Prompt

WORDS: dict[Capability, str] = {
    "generate": "generate text",
    "sample": "draw tokens (temperature above 0)",
    "beams": "search with beams",
    "processors": "apply logits processors and constraints",
    "schema": "follow a JSON schema",
    "logprobs": "score given continuations",
    "next-logits": "give the logits of the next token",
    "hidden-states": "give hidden states",
    "chat": "take chats",
    "tokens": "count, cut and split tokens",
    "prefix": "keep a prefix",
}
"""Capabilities in words."""


def require(model: Any, *wanted: Capability, hint: str = "") -> None:
    """Check that a model can do something.

    Raises:
        UsageError: it cannot; the message says what it can.
    """
    can = model.capabilities
    for capability in wanted:
        if capability not in can:
            there = ", ".join(name for name in WORDS if name in can)
            name = getattr(model, "name", type(model).__name__)
            raise UsageError(f"{name} cannot {WORDS[capability]}{'; ' + hint if hint else ''}; it can: {there}")


def is_chat(prompt: Prompt) -> bool:
    """Whether a prompt is a chat."""
    return not isinstance(prompt, str) and len(prompt) > 0 and isinstance(prompt[0], Message)


def wanted_for(
    prompts: Sequence[Prompt],
    settings: Generation | None = None,
    processors: Sequence[Processor] = (),
    constraints: Constraint | Sequence[Constraint] | None = None,
) -> list[Capability]:
    """Return what a request asks of a model: a generation, or without settings the scores of continuations."""
    wanted: list[Capability] = ["generate" if settings is not None else "logprobs"]
    if settings is not None and settings.temperature > 0:
        wanted.append("sample")
    if settings is not None and settings.beams > 1:
        wanted.append("beams")
    if settings is not None and settings.schema is not None:
        wanted.append("schema")
    if processors or constraints is not None:
        wanted.append("processors")
    if any(is_chat(prompt) for prompt in prompts):
        wanted.append("chat")
    return wanted


def check_pairs(prompts: Sequence[Prompt], continuations: Sequence[Any]) -> None:
    """Check that there is one continuation for each prompt, and that none is empty.

    Raises:
        UsageError: there is not, or one is.
    """
    if len(prompts) != len(continuations):
        raise UsageError(f"{len(prompts)} prompts and {len(continuations)} continuations")
    empty = next((at for at, one in enumerate(continuations) if not len(one)), None)
    if empty is not None:
        raise UsageError(f"continuation {empty} is empty: there is nothing to score")

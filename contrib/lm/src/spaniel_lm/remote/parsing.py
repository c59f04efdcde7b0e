"""Servers' answers, held against what was asked: what does not fit is said, never guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from spaniel_lm.protocol import Answer, Scored

_ROUNDING = 1e-4
"""By how much a log-probability may exceed 0."""


class Malformed(ValueError):
    """An answer that does not say what it must."""


def usage(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the tokens of prompt and answer that a server charges, or ``None`` where it does not tell."""
    said = content.get("usage")
    if not isinstance(said, dict):
        return None
    counts = [said.get(name, 0) for name in ("prompt_tokens", "completion_tokens")]
    if any(type(count) is not int or count < 0 for count in counts):
        return None
    return counts[0], counts[1]


def answer(content: Mapping[str, Any], returns: int, chat: bool, most: int) -> Answer:
    """Return the answers in a completion.

    Raises:
        Malformed: there are fewer or more than were asked for, or one is not whole.
    """
    choices = _choices(content, returns)
    counted = usage(content) or (0, 0)
    made = [_one(choice, chat, counted, most, returns) for choice in choices]
    first = made[0]
    return Answer(**{**vars(first), "others": tuple(made[1:])})


def _choices(content: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    choices = content.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise Malformed("the answer has no list of choices")
    if len(choices) != count:
        raise Malformed(f"the answer has {len(choices)} choices, not {count}")
    if all(type(choice.get("index")) is int for choice in choices):
        choices = sorted(choices, key=lambda choice: choice["index"])
    return choices


def _one(choice: dict[str, Any], chat: bool, counted: tuple[int, int], most: int, returns: int) -> Answer:
    message = choice.get("message") if chat else choice
    text = message.get("content" if chat else "text") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise Malformed("a choice has no text")
    finish = choice.get("finish_reason")
    if finish not in ("stop", "length"):
        raise Malformed(f"a choice ended with {finish!r}, not with 'stop' or 'length'")
    logprobs = _generated(choice.get("logprobs"), chat)
    tokens = len(logprobs) or (counted[1] if returns == 1 else 0)
    if tokens > most:
        raise Malformed(f"a choice has {tokens} tokens, and {most} were asked for at most")
    return Answer(text, (), tuple(logprobs), finish, counted[0], tokens, math.fsum(logprobs))


def _generated(said: Any, chat: bool) -> list[float]:
    if said is None:
        return []
    if not isinstance(said, dict):
        raise Malformed("a choice has log-probabilities that are no mapping")
    if chat:
        entries = said.get("content") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise Malformed("a choice has log-probabilities without tokens")
        return [_logprob(entry.get("logprob")) for entry in entries]
    values = said.get("token_logprobs") or []
    if not isinstance(values, list):
        raise Malformed("a choice has log-probabilities that are no list")
    return [_logprob(value) for value in values]


def _logprob(value: Any) -> float:
    if type(value) not in (int, float) or math.isnan(value) or value > _ROUNDING:
        raise Malformed(f"{value!r} is no log-probability")
    return min(float(value), 0.0)


def echoed(content: Mapping[str, Any], prompt: str | Sequence[int], whole: str | Sequence[int]) -> Scored:
    """Return the log-probabilities of what follows a prompt, of an answer that repeats both.

    Args:
        prompt: text or token numbers.
        whole: the prompt with its continuation, likewise.

    Raises:
        Malformed: log-probabilities are missing, are none, do not belong to what was sent, or the server's tokens do not
            break where the continuation begins.
    """
    said = _choices(content, 1)[0].get("logprobs")
    parts: list[Any] = (
        [said.get(name) for name in ("tokens", "token_logprobs", "text_offset")] if isinstance(said, dict) else []
    )
    if len(parts) != 3 or not isinstance(parts[0], list) or not isinstance(parts[1], list):
        raise Malformed("the answer has no log-probabilities of the prompt: does the server know `echo`?")
    tokens, values, offsets = parts
    if len(tokens) != len(values):
        raise Malformed(f"the answer has {len(values)} log-probabilities for {len(tokens)} tokens")
    if not isinstance(whole, str):
        if len(values) < len(whole):
            raise Malformed(f"the answer has {len(values)} log-probabilities for {len(whole)} tokens that were sent")
        chosen, ids = values[len(prompt) : len(whole)], tuple(whole[len(prompt) :])
    else:
        chosen, ids = _behind(str(prompt), whole, tokens, values, offsets), ()
    counted = usage(content) or (0, 0)
    made = np.array([_logprob(value) for value in chosen], np.float32)
    return Scored(made, ids, max(0, counted[0] - len(made)))


def _behind(prompt: str, whole: str, tokens: list[Any], values: list[Any], offsets: Any) -> list[Any]:
    if not isinstance(offsets, list) or len(offsets) != len(tokens) or any(type(at) is not int for at in offsets):
        raise Malformed("the answer does not say where its tokens begin")
    if any(later < earlier for earlier, later in pairwise(offsets)):
        raise Malformed("the answer's tokens are out of order")
    inside = [at for at, offset in enumerate(offsets) if len(prompt) <= offset < len(whole)]
    if not inside:
        raise Malformed("the answer has no token of the continuation")
    first = inside[0]
    if first and tokens[first - 1] and offsets[first - 1] + len(str(tokens[first - 1]).strip()) > len(prompt):
        raise Malformed("the server's tokens do not break where the continuation begins: give tokenizer=…")
    return [values[at] for at in inside]

"""Servers' answers, held against what was asked: what does not fit is said, never guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from spaniel_lm.protocol import Answer, Generation, Scored
from spaniel_lm.remote.faults import describe

_ROUNDING = 1e-4
"""By how much a log-probability may exceed 0."""
_LEAST = 1e6
"""By how much it may fall short of it; some servers write -9999 for what has no probability."""
_MOST_TOKENS = 2**40
_FULL = ("length", "max_tokens", "max_length", "max_output_tokens", "max_new_tokens", "model_length", "token_limit")
_BROKEN = (
    *(
        "content_filter",
        "content_filtered",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "language",
    ),
    *(
        "abort",
        "aborted",
        "error",
        "cancelled",
        "canceled",
        "timeout",
        "overloaded",
        "refusal",
        "insufficient_system_resource",
    ),
)
_SURROGATES = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """An answer that does not say what it must."""


def clean(text: str) -> str:
    """Return text without lone surrogates, which no encoding has."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def usage(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the tokens of prompt and answer that a server charges, or ``None`` where it does not tell."""
    said = content.get("usage")
    if not isinstance(said, dict):
        return None
    counts = [said.get(name, 0) for name in ("prompt_tokens", "completion_tokens")]
    if any(
        type(count) not in (int, float) or not 0 <= count <= _MOST_TOKENS or count != int(count) for count in counts
    ):
        return None
    return int(counts[0]), int(counts[1])


def answer(content: Mapping[str, Any], settings: Generation) -> Answer:
    """Return the answers in a completion of a chat or of a text.

    Raises:
        Malformed: there are fewer than were asked for, or one is not whole.
    """
    choices = _choices(content, settings.returns)
    counted = usage(content) or (0, 0)
    made = [_one(choice, counted, settings) for choice in choices]
    first = made[0]
    return Answer(**{**vars(first), "others": tuple(made[1:])})


def _choices(content: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    choices = content.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        said = describe({key: value for key, value in content.items() if key != "choices"})
        raise Malformed("the answer has no list of choices" + (f": {said}" if said else ""))
    if len(choices) < count:
        more = "; the server does not give several answers to a request: ask with returns=1" if count > 1 else ""
        raise Malformed(f"the answer has {len(choices)} choices, not {count}{more}")
    if all(type(choice.get("index")) is int for choice in choices):
        choices = sorted(choices, key=lambda choice: choice["index"])
    return choices[:count]


def _one(choice: dict[str, Any], counted: tuple[int, int], settings: Generation) -> Answer:
    logprobs = _generated(choice.get("logprobs"))
    tokens = len(logprobs) or (counted[1] if settings.returns == 1 else 0)
    finish = _finish(choice.get("finish_reason"), tokens >= settings.max_tokens, describe(choice.get("error")))
    text = _text(choice)
    end = min((at for stop in settings.stop if (at := text.find(stop)) >= 0), default=-1)
    if end >= 0:
        # The server leaves the text that ends an answer in it, or does not know such texts.
        whole = not text[end:].strip() or any(text[end:] == stop for stop in settings.stop)
        text, finish, logprobs = text[:end], "stop", logprobs if whole else []
    return Answer(text, (), tuple(logprobs), finish, counted[0], tokens, math.fsum(logprobs))


def _text(choice: dict[str, Any]) -> str:
    """Return the text of a choice: of its message, or its own."""
    message = choice.get("message")
    said = message if isinstance(message, dict) else choice
    thinks = any(said.get(name) for name in ("reasoning", "reasoning_content", "thinking"))
    for given in (said.get("content"), choice.get("text")):
        text = _joined(given)
        if text or (text is not None and not thinks):
            return clean(text)
    refusal = said.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise Malformed(f"the model refuses: {describe(refusal)}")
    if thinks:
        raise Malformed("a choice has thoughts and no text: allow more tokens")
    if said.get("tool_calls") or said.get("function_call"):
        raise Malformed("a choice calls a tool and has no text")
    ended = choice.get("finish_reason")
    raise Malformed("a choice has no text" + (f" ({_shown(ended)})" if ended else ""))


def _joined(given: Any) -> str | None:
    """Return a text, or the texts of a list of parts together; thoughts are none."""
    if isinstance(given, str):
        return given
    parts = [given] if isinstance(given, dict) else given
    if not isinstance(parts, list):
        return None
    texts: list[str] = []
    for part in parts:
        if isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"):
            part = part.get("text", part.get("content"))
            part = part.get("value") if isinstance(part, dict) else part
        if isinstance(part, str):
            texts.append(part)
    return "".join(texts) if texts else None


def _finish(said: Any, is_full: bool, why: str = "") -> Literal["stop", "length"]:
    """Return why an answer ended, of the words that servers have for it.

    Raises:
        Malformed: it is not whole, since the server broke it off.
    """
    if said is None or said == "":
        return "length" if is_full else "stop"
    word = said.lower() if isinstance(said, str) else ""
    if word in _BROKEN:
        raise Malformed(f"a choice was broken off ({_shown(said)})" + (f": {why}" if why else ""))
    return "length" if word in _FULL else "stop"


def _generated(said: Any) -> list[float]:
    if said is None:
        return []
    if not isinstance(said, dict):
        raise Malformed("a choice has log-probabilities that are no mapping")
    entries = said.get("content") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Malformed("a choice has log-probabilities without tokens")
    values = [entry.get("logprob") for entry in entries] if entries else said.get("token_logprobs") or []
    if not isinstance(values, list):
        raise Malformed("a choice has log-probabilities that are no list")
    return [_logprob(value) for value in values]


def _logprob(value: Any) -> float:
    if type(value) not in (int, float) or not -_LEAST <= value <= _ROUNDING:
        raise Malformed(f"{_shown(value)} is no log-probability")
    return min(float(value), 0.0)


def _shown(value: Any) -> str:
    return repr(value)[:60]


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

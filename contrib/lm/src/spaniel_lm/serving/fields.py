"""The fields of a request, and what each may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spaniel_lm.serving.limits import STOP_CHARACTERS, STOPS


@dataclass(frozen=True)
class Field:
    """What a field may be: in words, as a test, and for what is not offered, the values that ask for nothing."""

    words: str
    fits: Callable[[Any], bool]
    neutral: tuple[Any, ...] | None = None


def _of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _whole(low: int, high: int) -> Field:
    words = f"a number, whole, of {low} or more" if high >= 2**31 - 1 else f"a number, whole, from {low} to {high}"
    return Field(words, lambda value: type(value) is int and low <= value <= high)


def _is_stop(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value
    return (
        isinstance(texts, list)
        and len(texts) <= STOPS
        and all(isinstance(text, str) and 0 < len(text) <= STOP_CHARACTERS for text in texts)
    )


_TRUTH = Field("true or false", _of(bool))
_WORDS = Field("a text", _of(str))
COMMON = {
    "model": _WORDS,
    "max_tokens": _whole(0, 2**31 - 1),
    "max_completion_tokens": _whole(1, 2**31 - 1),
    "temperature": Field("a number of 0 or more", lambda value: _of(int, float)(value) and 0 <= value <= 1e9),
    "top_p": Field("a number above 0 and at most 1", lambda value: _of(int, float)(value) and 0 < value <= 1),
    "top_k": _whole(0, 2**31 - 1),
    "n": _whole(1, 2**63 - 1),
    "stop": Field(f"a text, or at most {STOPS}, none empty, each of at most {STOP_CHARACTERS} characters", _is_stop),
    "seed": Field("a number, whole, of 64 bits", lambda value: type(value) is int and -(2**63) <= value < 2**63),
    # What changes no answer.
    "user": _WORDS,
    "safety_identifier": _WORDS,
    "prompt_cache_key": _WORDS,
    "service_tier": _WORDS,
    "metadata": Field("an object", _of(dict)),
    "store": _TRUTH,
    # What is offered only as far as it asks for nothing.
    "stream": Field("true or false", _of(bool), (False,)),
    "stream_options": Field("an object", _of(dict), ()),
    "logit_bias": Field("an object", _of(dict), ({},)),
    "frequency_penalty": Field("a number", _of(int, float), (0,)),
    "presence_penalty": Field("a number", _of(int, float), (0,)),
    "repetition_penalty": Field("a number", _of(int, float), (1,)),
    "min_p": Field("a number", _of(int, float), (0,)),
    "response_format": Field("an object", _of(dict), ({"type": "text"},)),
}
CHAT = {
    "messages": Field("a list that is not empty", _of(list)),
    "logprobs": _TRUTH,
    "top_logprobs": Field("a number, whole", lambda value: type(value) is int, (0,)),
    "tools": Field("a list", _of(list), ([],)),
    "tool_choice": Field("a text or an object", _of(str, dict), ("none", "auto")),
    "parallel_tool_calls": _TRUTH,
    "functions": Field("a list", _of(list), ([],)),
    "function_call": Field("a text or an object", _of(str, dict), ("none", "auto")),
    "modalities": Field("a list", _of(list), (["text"],)),
    "reasoning_effort": Field("a text", _of(str), ("none",)),
}
TEXT = {
    "prompt": Field("a text, a list of texts, token numbers, or a list of them", _of(str, list)),
    "logprobs": Field("a number, whole, from 0 to 5", lambda value: type(value) in (int, bool) and 0 <= value <= 5),
    "echo": _TRUTH,
    "best_of": _whole(1, 2**63 - 1),
    "suffix": Field("a text", _of(str), ("",)),
}

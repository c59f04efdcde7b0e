"""What clients send, checked; and what they get, in the form of OpenAI's protocol."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spaniel_lm.protocol import Answer, Generation, Message


class BadRequest(ValueError):
    """What a client sent is no request that can be answered."""


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        prompts: texts, token numbers, or one chat.
        settings: of the generation.
        logprobs: whether log-probabilities are wanted.
        echo: whether the prompt is wanted back, with its own.
        nothing: whether no token is to be generated.
    """

    prompts: list[Any]
    settings: Generation
    logprobs: bool
    echo: bool = False
    nothing: bool = False


_REFUSED = ("stream", "tools", "functions", "best_of", "suffix", "logit_bias", "frequency_penalty", "presence_penalty")
_DEFAULT_TOKENS = {"chat": 256, "completions": 16}


def read(content: Any, chat: bool) -> Asked:
    """Read a request.

    Raises:
        BadRequest: it is malformed, or wants what is not offered.
        UsageError: its settings are out of range.
    """
    if not isinstance(content, dict):
        raise BadRequest("the body must be a JSON object")
    for name in _REFUSED:
        if content.get(name):
            raise BadRequest(f"{name} is not offered by this server")
    most = content.get("max_completion_tokens") or content.get("max_tokens")
    nothing = not chat and content.get("max_tokens") == 0
    stop = content.get("stop") or []
    settings = Generation(
        max_tokens=_number(most, "max_tokens", int, _DEFAULT_TOKENS["chat" if chat else "completions"])
        if not nothing
        else 1,
        temperature=float(_number(content.get("temperature"), "temperature", (int, float), 1.0)),
        top_p=float(_number(content.get("top_p"), "top_p", (int, float), 1.0)),
        top_k=_number(content.get("top_k"), "top_k", int, 0),
        returns=_number(content.get("n"), "n", int, 1),
        stop=tuple([stop] if isinstance(stop, str) else stop),
        seed=_number(content.get("seed"), "seed", int, None),
    )
    if settings.temperature == 0 and settings.returns > 1:
        raise BadRequest("n above 1 needs a temperature above 0")
    said = content.get("logprobs")
    wanted = said is not None and said is not False
    echo = bool(content.get("echo"))
    if echo and not nothing:
        raise BadRequest("echo is offered with max_tokens=0")
    if nothing and not echo:
        raise BadRequest("max_tokens=0 is offered with echo")
    return Asked(
        [_chat(content.get("messages"))] if chat else _prompts(content.get("prompt")), settings, wanted, echo, nothing
    )


def _number(given: Any, name: str, kinds: Any, default: Any) -> Any:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, kinds):
        raise BadRequest(f"{name} must be a number, not {given!r}")
    return given


def _chat(given: Any) -> tuple[Message, ...]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages must be a list that is not empty")
    made = []
    for turn in given:
        if (
            not isinstance(turn, dict)
            or not isinstance(turn.get("role"), str)
            or not isinstance(turn.get("content"), str)
        ):
            raise BadRequest("a message has a role and a content, both text")
        made.append(Message(turn["role"], turn["content"]))
    return tuple(made)


def _prompts(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(one, str) for one in given):
            return list(given)
        if all(type(one) is int for one in given):
            return [tuple(given)]
        if all(isinstance(one, list) and one and all(type(token) is int for token in one) for one in given):
            return [tuple(one) for one in given]
    raise BadRequest("prompt must be a text, a list of texts, token numbers, or a list of them")


def envelope(kind: str, model: str, choices: Sequence[Mapping[str, Any]], prompt: int, answer: int) -> dict[str, Any]:
    """Return a whole response."""
    return {
        "id": f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": list(choices),
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }


def chat_choice(index: int, answer: Answer, pieces: Sequence[str] | None) -> dict[str, Any]:
    """Return an answer as a choice of a chat, with its tokens where they are wanted."""
    logprobs = None
    if pieces is not None:
        parts = zip(pieces, answer.logprobs, strict=True)
        content = [{"token": p, "logprob": v, "bytes": list(p.encode()), "top_logprobs": []} for p, v in parts]
        logprobs = {"content": content}
    message = {"role": "assistant", "content": answer.text}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}


def text_choice(index: int, answer: Answer, pieces: Sequence[str] | None) -> dict[str, Any]:
    """Return an answer as a choice of a completion, with its tokens where they are wanted."""
    logprobs = None
    if pieces is not None:
        offsets = [int(place) for place in np.cumsum([0, *map(len, pieces)])[: len(pieces)]]
        logprobs = token_table(pieces, list(answer.logprobs), offsets)
    return {"index": index, "text": answer.text, "logprobs": logprobs, "finish_reason": answer.finish}


def token_table(pieces: Sequence[str], values: Sequence[float | None], offsets: Sequence[int]) -> dict[str, Any]:
    """Return tokens, their log-probabilities, and the character at which each begins."""
    return {"tokens": list(pieces), "token_logprobs": list(values), "top_logprobs": None, "text_offset": list(offsets)}


def failure(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    """Return an error in the protocol's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}

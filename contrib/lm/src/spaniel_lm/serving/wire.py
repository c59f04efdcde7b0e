"""Answers in the form of OpenAI's protocol."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spaniel_lm.protocol import Answer

IMPOSSIBLE = -9999.0
"""Log-probability of what cannot be, in the protocol: JSON has no minus infinity."""


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


def to_bytes(content: Mapping[str, Any]) -> bytes:
    """Return a body as JSON.

    Raises:
        ValueError: it holds a number that is none.
    """
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def chat_choice(index: int, answer: Answer, pieces: Sequence[str] | None) -> dict[str, Any]:
    """Return an answer as a choice of a chat, with its tokens where they are wanted."""
    logprobs = None
    if pieces is not None:
        parts = zip(pieces, _finite(answer.logprobs), strict=True)
        content = [{"token": p, "logprob": v, "bytes": list(p.encode()), "top_logprobs": []} for p, v in parts]
        logprobs = {"content": content}
    message = {"role": "assistant", "content": answer.text}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}


def text_choice(index: int, answer: Answer, pieces: Sequence[str] | None) -> dict[str, Any]:
    """Return an answer as a choice of a completion, with its tokens where they are wanted."""
    logprobs = None
    if pieces is not None:
        offsets = [int(place) for place in np.cumsum([0, *map(len, pieces)])[: len(pieces)]]
        logprobs = token_table(pieces, answer.logprobs, offsets)
    return {"index": index, "text": answer.text, "logprobs": logprobs, "finish_reason": answer.finish}


def token_table(pieces: Sequence[str], values: Sequence[float | None], offsets: Sequence[int]) -> dict[str, Any]:
    """Return tokens, their log-probabilities, and the character at which each begins."""
    return {
        "tokens": list(pieces),
        "token_logprobs": _finite(values),
        "top_logprobs": None,
        "text_offset": list(offsets),
    }


def _finite(values: Sequence[float | None]) -> list[float | None]:
    return [IMPOSSIBLE if value is not None and value == -math.inf else value for value in values]

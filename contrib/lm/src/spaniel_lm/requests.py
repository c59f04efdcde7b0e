"""Requests and results as JSON: what is recorded, and what is replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spaniel import UsageError

from spaniel_lm.capabilities import is_chat
from spaniel_lm.protocol import Answer, Constraint, Continuation, Generation, Prompt, Scored

Record = dict[str, Any]
"""``key`` (digest of the request), ``request``, ``result``, ``seconds``, ``cost``."""
_FIELDS = {"key", "request", "result", "seconds", "cost"}


def wanted_answer(prompt: Prompt, settings: Generation, constraint: Constraint | None) -> dict[str, Any]:
    """Return the request for an answer as JSON.

    Raises:
        UsageError: the constraint does not say what it is.
    """
    request: dict[str, Any] = {"ask": "answer", "prompt": plain_prompt(prompt), "settings": settings.to_json()}
    if constraint is not None:
        fingerprint = getattr(constraint, "fingerprint", None)
        if fingerprint is None:
            raise UsageError(
                f"answers under {type(constraint).__name__} cannot be recorded: it has no fingerprint() that says what it is"
            )
        request["constraint"] = fingerprint()
    return request


def wanted_scores(prompt: Prompt, continuation: Continuation) -> dict[str, Any]:
    """Return the request for the log-probabilities of a continuation as JSON."""
    plain = continuation if isinstance(continuation, str) else [int(token) for token in continuation]
    return {"ask": "logprobs", "prompt": plain_prompt(prompt), "continuation": plain}


def plain_prompt(prompt: Prompt) -> Any:
    """Return a prompt as JSON."""
    if isinstance(prompt, str):
        return prompt
    if is_chat(prompt):
        return [{"role": turn.role, "content": turn.content} for turn in prompt]  # type: ignore[union-attr]
    return [int(token) for token in prompt]  # type: ignore[arg-type]


def scored_record(scored: Scored) -> dict[str, Any]:
    """Return log-probabilities as JSON."""
    values: Sequence[float] = scored.logprobs.tolist()
    return {"logprobs": values, "tokens": list(scored.tokens), "prompt_tokens": scored.prompt_tokens}


def to_answer(record: Record) -> Answer:
    """Return the answer of a record."""
    return Answer.from_json(record["result"])


def to_scored(record: Record) -> Scored:
    """Return the log-probabilities of a record."""
    result = record["result"]
    return Scored(np.array(result["logprobs"], np.float32), tuple(result["tokens"]), result["prompt_tokens"])


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file of JSON lines.

    Raises:
        UsageError: a line is no record.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}, line {number}: no JSON ({error})") from error
            if not isinstance(record, dict) or set(record) != _FIELDS:
                raise UsageError(f"{path}, line {number}: no recorded answer; it has {', '.join(sorted(_FIELDS))}")
            yield record

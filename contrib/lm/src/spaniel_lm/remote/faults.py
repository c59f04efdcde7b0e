"""What servers say when they do not answer, and whether they have worked for it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal

Outcome = Literal["answered", "refused", "unsure", "unusable", "fatal"]
"""``refused``: the server did no work; ``unsure``: it may have; ``unusable``: it did, or will never; ``fatal``: it will answer
no request of this session."""
_REFUSALS = (409, 425, 429, 503, 529)
_UNSURE = (408, 500, 502, 504, *range(520, 528), *range(530, 600))
_FATAL = (401, 402, 403, 404, 405, 407, 410, 511)
_WORDS = 300
_TEXTS = (
    "message",
    "msg",
    "detail",
    "details",
    "error",
    "errors",
    "error_description",
    "title",
    "reason",
    "faultstring",
    "fault",
    "metadata",
    "raw",
)
_DEPTH = 6


@dataclass(frozen=True)
class Reply:
    """What became of a request.

    Attributes:
        outcome: see :data:`Outcome`.
        content: the answer's JSON, where there is one.
        problem: what went wrong, in words.
        wait: seconds that the server asks to wait.
        status: of HTTP; 0 where there was no answer.
        named: fields of the request that the server complains of.
    """

    outcome: Outcome
    content: Any = None
    problem: str = ""
    wait: float = 0.0
    status: int = 0
    named: tuple[str, ...] = field(default=())


def judge(status: int, headers: Mapping[str, str], data: bytes, secret: str = "") -> Reply:
    """Return what an answer of a server means.

    Args:
        secret: is not repeated, though servers do.
    """
    content = _load(data)
    if 200 <= status < 300:
        if content is None and data.lstrip().startswith((b"data:", b"event:", b":")):
            content = joined(data)
        if isinstance(content, dict):
            return Reply("answered", content, status=status)
        said = describe(content, data)
        said = said.replace(secret, "…") if secret else said
        problem = "the answer is no JSON object" + (f": {said}" if said else "")
        return Reply("unusable", problem=problem, status=status)
    said = describe(content, data)
    said = said.replace(secret, "…") if secret else said
    problem = f"HTTP {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        to = _plain(headers.get("Location", ""))
        return Reply(
            "fatal", problem=f"HTTP {status}: the server is at {to or 'another address'}; give url=…", status=status
        )
    wait = seconds(headers.get("Retry-After"))
    outcome: Outcome = "unusable"
    if status in _FATAL or (status == 429 and b"insufficient_quota" in data):
        outcome = "fatal"
    elif status in _REFUSALS:
        outcome = "refused"
    elif status in _UNSURE or status < 200:
        outcome = "unsure"
    return Reply(outcome, None, problem, wait, status, tuple(_named(content, 0)))


def joined(data: bytes) -> dict[str, Any] | None:
    """Return the one answer that a stream of events makes, of a server that streams without having been asked.

    ``None`` where the stream does not come to its end.
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        part = _load(line[5:].encode()) if line.startswith("data:") else None
        if not isinstance(part, dict):
            continue
        whole |= {key: value for key, value in part.items() if key != "choices" and value is not None}
        given = part.get("choices")
        for choice in given if isinstance(given, list) else []:
            if isinstance(choice, dict):
                number = choice.get("index")
                _extend(choices.setdefault(number if type(number) is int else 0, {}), choice)
    ended = b"[DONE]" in data or all(choice.get("finish_reason") for choice in choices.values())
    if choices and "error" not in whole:
        whole["choices"] = list(choices.values())
    return whole if whole and ended else None


def _extend(made: dict[str, Any], choice: Mapping[str, Any]) -> None:
    """Add what one event says of a choice: texts and lists go on, what else there is is replaced."""
    for key, value in choice.items():
        key = "message" if key == "delta" else key
        known = made.get(key)
        if isinstance(value, dict):
            if not isinstance(known, dict):
                made[key] = {}
            _extend(made[key], value)
        elif key in ("content", "text", "reasoning", "reasoning_content", "refusal") and isinstance(known, str):
            made[key] = known + value if isinstance(value, str) else known
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif value is not None:
            made[key] = value


def describe(content: Any, data: bytes = b"") -> str:
    """Return what the body of an error says, whatever its form."""
    words = list(dict.fromkeys(_said(content, 0)))
    if not words and not isinstance(content, dict | list):
        text = data[:100_000].decode("utf-8", "replace")
        title = re.search(r"<(?:title|h1)[^>]{0,100}>([^<]{1,300})", text, re.IGNORECASE)
        words = [title[1] if title else "" if "<html" in text[:1000].lower() else text]
    return _plain(" ".join(words))[:_WORDS]


def _said(content: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        return
    if isinstance(content, str):
        yield content[:_WORDS]
    elif isinstance(content, list):
        for one in content[:3]:
            yield from _said(one, depth + 1)
    elif isinstance(content, dict):
        if isinstance(content.get("code"), str):
            yield content["code"][:_WORDS]
        place = content.get("loc")
        if isinstance(place, list):
            yield ".".join(str(one)[:50] for one in place[:6]) + ":"
        for key in _TEXTS:
            if content.get(key):
                yield from _said(content[key], depth + 1)


def _named(content: Any, depth: int) -> Iterator[str]:
    """Yield the fields that an error names: OpenAI's ``param``, the last part of FastAPI's ``loc``."""
    if depth > _DEPTH:
        return
    if isinstance(content, list):
        for one in content[:20]:
            yield from _named(one, depth + 1)
    elif isinstance(content, dict):
        place = content.get("loc")
        for name in (content.get("param"), place[-1] if isinstance(place, list) and place else None):
            if isinstance(name, str):
                yield name.partition(".")[0][:50]
        for key in _TEXTS:
            yield from _named(content.get(key), depth + 1)


def seconds(given: str | None) -> float:
    """Return the seconds that ``Retry-After`` asks for, given as such or as a date; 0 where it says nothing that can be read."""
    try:
        wait = float(given or 0)
    except ValueError:
        try:
            wait = parsedate_to_datetime(given or "").timestamp() - time.time()
        except (ValueError, OverflowError, TypeError):
            return 0.0
    return wait if wait > 0 else 0.0


def _load(data: bytes) -> Any:
    try:
        return json.loads(data)
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode()
    except (ValueError, RecursionError):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _plain(text: str) -> str:
    """Return text in one line that can be shown on a terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())

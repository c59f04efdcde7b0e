"""What is malformed in input, and what happens to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from spaniel.errors import UsageError

OnError = Literal["fail", "skip"]
KEPT = 10
"""How many messages about what was left out are kept."""
_DEPTH = 100
_BREAKING = re.compile(r"[^\S ]|\0|^ | $")


class Faults:
    """Raises what is malformed, or counts it and keeps the first messages.

    Args:
        on_error: ``"fail"`` raises, ``"skip"`` counts.

    Attributes:
        count: how many malformed records were left out.
        duplicates: how many records were left out because an earlier one has their id.
        first: the first messages, with their places.
        facts: what else the reader tells of its reading; joins what the document store tells.

    Raises:
        UsageError: ``on_error`` is something else.
    """

    def __init__(self, on_error: OnError = "fail") -> None:
        if on_error not in get_args(OnError):
            raise UsageError(f"on_error is {on_error!r}; it can be {' or '.join(get_args(OnError))}")
        self.on_error = on_error
        self.count = 0
        self.duplicates = 0
        self.first: list[str] = []
        self.facts: dict[str, Any] = {}

    def report(self, place: str, problem: str, duplicate: bool = False) -> None:
        """Take note of a malformed record.

        Raises:
            UsageError: under ``"fail"``, always.
        """
        if self.on_error == "fail":
            raise UsageError(f"{place}: {problem} (--on-error skip leaves it out)")
        self.count += not duplicate
        self.duplicates += duplicate
        if len(self.first) < KEPT:
            self.first.append(f"{place}: {problem}")


def as_faults(on_error: OnError | Faults) -> Faults:
    """Return what counts the faults: the object given, or a new one."""
    return on_error if isinstance(on_error, Faults) else Faults(on_error)


def check_id(name: object) -> str | None:
    """Return what is wrong with an id, or ``None``."""
    if not isinstance(name, str) or not name:
        return f"the id is {name!r}; an id is text of at least one character"
    if _BREAKING.search(name):
        return f"the id {name!r} has white space or NUL that files cannot hold; blanks between words are allowed"
    return check_text(name)


def check_text(text: object) -> str | None:
    """Return what is wrong with a text, or ``None``."""
    if not isinstance(text, str):
        return f"expected text, not {type(text).__name__}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the text has a lone surrogate at character {error.start}, which is no Unicode character"
    return None


def check_metadata(metadata: Mapping[str, Any]) -> str | None:
    """Return what is wrong with metadata, or ``None``."""
    if not metadata:
        return None
    try:
        text = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its metadata have no JSON form ({error})"
    # The count of brackets bounds the depth, and is nearly always enough.
    if text.count("[") + text.count("{") > _DEPTH and _depth(metadata) > _DEPTH:
        return f"its metadata are nested more than {_DEPTH} deep"
    return check_text(text)


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(inner, Mapping | list | tuple)
        ]
    return deepest

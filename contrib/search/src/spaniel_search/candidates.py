"""The hash and the text of candidates."""

from __future__ import annotations

import json
from typing import Any

from spaniel import UsageError
from spaniel.protocols import SearchSpace
from spaniel.store import canonical_json, digest_bytes


def digest(space: SearchSpace, candidate: Any) -> str:
    """Return the digest of a candidate: equal for equal candidates, on every machine."""
    return digest_bytes(canonical_json(space.canonical(candidate)))


def to_json(candidate: Any) -> str:
    """Return a candidate as text from which :func:`from_json` makes it again."""
    return canonical_json(candidate).decode()


def from_json(space: SearchSpace, text: str) -> Any:
    """Return the candidate that a text holds.

    Raises:
        UsageError: it holds none of this space.
    """
    try:
        candidate = json.loads(text)
    except ValueError as error:
        raise UsageError(f"this is no candidate: {error}") from error
    space.validate(candidate)
    return candidate

"""Documents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Document(NamedTuple):
    """A document with its external id; ``metadata`` is free JSON."""

    id: str
    title: str = ""
    text: str = ""
    metadata: Mapping[str, Any] = _NOTHING

    @property
    def contents(self) -> str:
        """Title and text, as BEIR joins them: what indexes and encoders read."""
        return f"{self.title} {self.text}".strip()

"""The hook of the kind ``analyzer``."""

from __future__ import annotations

from collections.abc import Iterable

from spaniel import Component, hookspec


@hookspec
def analyzer() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer analyzers: texts → tokens, with what an index has to remember of them."""

"""The hook of the kind ``rewrite``."""

from __future__ import annotations

from collections.abc import Iterable

from spaniel import Component, hookspec


@hookspec
def rewrite() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer rewriters: queries → queries, or several texts for each."""

"""The hook of the kind ``dataset``."""

from __future__ import annotations

from collections.abc import Iterable

from spaniel import Component, hookspec


@hookspec
def dataset() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer collections: documents, queries by split, and judgments by split."""

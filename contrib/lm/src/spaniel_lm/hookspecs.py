"""The hook of the kind ``language_model``."""

from __future__ import annotations

from collections.abc import Iterable

from spaniel import Component, hookspec


@hookspec
def language_model() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer language models: prompts → answers, and log-probabilities of given continuations."""

"""The hooks of the kinds ``trainee``, ``objective``, ``optimizer``, ``adapt`` and ``synthesize``."""

from __future__ import annotations

from collections.abc import Iterable

from spaniel import Component, hookspec


@hookspec
def trainee() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer kinds of models that recipes train."""


@hookspec
def objective() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer objectives: what a model made of a batch of training rows → the loss of each query."""


@hookspec
def optimizer() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer optimizers: groups of parameters → an optimizer of torch over them."""


@hookspec
def adapt() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer model surgery: a model's folder → another model's folder, and a report."""


@hookspec
def synthesize() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer synthesizers: a collection, or training rows → training rows, in parts that resume."""

"""The hooks. The first six name the kinds of component; each yields declarations and does no work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

from spaniel.declare import Command, Component, Experiment, Kind

if TYPE_CHECKING:
    from spaniel.observe import Stage

HOOKSPEC_VERSION = "1.0"
"""Version of this contract: arguments may be added within a major version, nothing is renamed."""

hookspec = HookspecMarker("spaniel")
hookimpl = HookimplMarker("spaniel")


@hookspec
def encode() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer encoders: texts in a role → named representations (dense, sparse, multi-vector, binary)."""


@hookspec
def index() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer indexers: a corpus, or vectors of it → an index on disk, built once and opened many times."""


@hookspec
def retrieve() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer retrievers: queries, with an earlier run as feedback where the method wants one → a run."""


@hookspec
def rerank() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer rerankers: queries and a run → a run."""


@hookspec
def search_space() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer spaces of candidates, proxies that score candidates cheaply, and strategies that walk a space."""


@hookspec
def explain() -> Iterable[Component]:  # type: ignore[empty-body]
    """Offer explainers: a component or pipeline and an input → an explanation that adds up."""


@hookspec
def kinds() -> Iterable[Kind]:  # type: ignore[empty-body]
    """Add kinds of component, each with a hook specification of its own."""


@hookspec
def commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Add sub-commands to ``spaniel``."""


@hookspec
def experiments() -> Iterable[Experiment]:  # type: ignore[empty-body]
    """Add headline checks to ``spaniel reproduce``."""


@hookspec
def stage_started(stage: Stage) -> None:
    """Observe that a stage of a running pipeline has started."""


@hookspec
def stage_progress(stage: Stage, done: int) -> None:
    """Observe that ``done`` units of the stage's ``total`` are finished."""


@hookspec
def stage_finished(stage: Stage, seconds: float, error: BaseException | None) -> None:
    """Observe that a stage has ended, with the exception that ended it where it failed."""

"""Running a pipeline: builds first, then one stage behind the other, each measured."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spaniel.context import blame
from spaniel.data import MalformedRun
from spaniel.errors import PluginError
from spaniel.memory import PeakMemory
from spaniel.pipeline.bind import Bound, Pipeline
from spaniel.store import Artifact, Need, canonical_json

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.data import Corpus, Queries, Run


@dataclass(frozen=True)
class StageCost:
    """What one stage cost: seconds, peak memory in bytes, and what it counted."""

    name: str
    seconds: float
    peak_memory: int
    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A run, and what each stage cost that led to it."""

    run: Run
    stages: tuple[StageCost, ...]


def needs(context: Context, pipeline: Pipeline, corpus: Need) -> list[Need]:
    """Return the artifacts that a pipeline needs for a corpus, what others need first; nothing is built or loaded."""
    found: dict[str, Need] = {}

    def add(need: Need) -> None:
        for part in need.inputs:
            add(part)
        found.setdefault(need.recipe.address, need)

    add(corpus)
    for bound in pipeline.walk():
        component = context.make(bound)
        if hasattr(component, "needs"):
            with blame(bound.registered.distribution, f"{bound.kind} `{bound.registered.name}`"):
                for need in component.needs(corpus):
                    add(need)
    return list(found.values())


def build(context: Context, pipeline: Pipeline, corpus: Need) -> list[Artifact]:
    """Obtain every artifact that a pipeline needs for a corpus."""
    return [context.obtain(need) for need in needs(context, pipeline, corpus)]


def run_pipeline(
    context: Context, pipeline: Pipeline, queries: Queries, corpus: Corpus, run: Run | None = None
) -> Outcome:
    """Run a pipeline; a prefix that the session has run on these queries and this corpus is not run again.

    Raises:
        PluginError: a component fails, or returns something that is no run over these queries.
    """
    build(context, pipeline, corpus.need)
    identity = hashlib.sha256(f"{queries.digest} {corpus.need.recipe.address}".encode())
    if run is not None:
        for array in (run.offsets, run.rows, run.scores):
            identity.update(array.tobytes())
    costs: list[StageCost] = []
    for bound in pipeline.stages:
        identity.update(canonical_json(bound.description))
        earlier = run

        def make(bound: Bound = bound, earlier: Run | None = earlier) -> tuple[Run, StageCost]:
            return _run_stage(context, bound, queries, corpus, earlier)

        run, cost = context.remember(f"run {identity.hexdigest()}", make)
        costs.append(cost)
    assert run is not None
    return Outcome(run, tuple(costs))


def _run_stage(
    context: Context, bound: Bound, queries: Queries, corpus: Corpus, run: Run | None
) -> tuple[Run, StageCost]:
    component = context.make(bound)
    distribution, what = bound.registered.distribution, f"{bound.kind} `{bound.registered.name}`"
    memory = PeakMemory()
    started = time.perf_counter()
    with context.stage(str(bound.expression), len(queries), "queries") as stage, memory, blame(distribution, what):
        try:
            if bound.kind == "rerank":
                result = component.rerank(queries, run, corpus)
            else:
                result = component.retrieve(queries, corpus, run)
            _check(result, queries, corpus)
        except MalformedRun as error:
            name = queries.ids[error.query] if error.query < len(queries) else error.query
            raise PluginError(distribution, f"{what}: its list for the query {name!r} {error.problem}") from error
    seconds = time.perf_counter() - started - stage.loading + stage.replayed
    return result, StageCost(stage.name, seconds, memory.peak, dict(stage.cost))


def _check(run: Any, queries: Queries, corpus: Corpus) -> None:
    from spaniel.data import Run

    if not isinstance(run, Run):
        raise TypeError(f"it returned {type(run).__name__}, not a Run")
    if len(run) != len(queries):
        raise ValueError(f"it returned lists for {len(run)} queries, not for {len(queries)}")
    if len(run.rows) and int(run.rows.max()) >= len(corpus):
        raise ValueError(f"it returned row {int(run.rows.max())} of a corpus of {len(corpus)} documents")

"""Running a pipeline: builds first, then one stage behind the other, each measured."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spaniel.context import blame
from spaniel.data import MalformedRun
from spaniel.errors import PluginError
from spaniel.memory import PeakMemory
from spaniel.pipeline.bind import Bound, Pipeline
from spaniel.store import Artifact, Need

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.data import Corpus, Queries, Run


_NOTHING = nullcontext()


@dataclass(frozen=True)
class StageCost:
    """What one stage cost.

    Attributes:
        name: what ran, as its expression prints.
        seconds: that it took, loading not counted.
        peak_memory: bytes; 0 where nobody had asked for it when the stage ran.
        counts: ``"model calls"``, ``"pairs scored"`` …
        loading: seconds of loading inside it when it ran, which a second run would not spend.
    """

    name: str
    seconds: float
    peak_memory: int
    counts: Mapping[str, float] = field(default_factory=dict)
    loading: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A run, and what each stage cost that led to it."""

    run: Run
    stages: tuple[StageCost, ...]


def needs(context: Context, pipeline: Pipeline, corpus: Need) -> list[Need]:
    """Return the artifacts that a pipeline needs for a corpus, what others need first; nothing is built.

    They are found out once in a session.
    """
    return list(
        context.once(("needs", pipeline.digest, corpus.recipe.address), lambda: _needs(context, pipeline, corpus))
    )


def _needs(context: Context, pipeline: Pipeline, corpus: Need) -> tuple[Need, ...]:
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
    return tuple(found.values())


def build(context: Context, pipeline: Pipeline, corpus: Need) -> list[Artifact]:
    """Obtain every artifact that a pipeline needs for a corpus, once in a session."""
    key = ("built", pipeline.digest, corpus.recipe.address)
    return list(context.once(key, lambda: [context.obtain(need) for need in needs(context, pipeline, corpus)]))


def run_pipeline(
    context: Context,
    pipeline: Pipeline,
    queries: Queries,
    corpus: Corpus,
    run: Run | None = None,
    *,
    measure_memory: bool = False,
) -> Outcome:
    """Run a pipeline; a prefix that the session has run on these queries and this corpus is not run again.

    Args:
        measure_memory: whether the peak memory of each stage is measured, which takes longer than a search may.

    Raises:
        PluginError: a component fails, or returns something that is no run over these queries.
    """
    build(context, pipeline, corpus.need)
    key = f"run {queries.digest} {corpus.need.recipe.address}"
    if run is not None:
        given = hashlib.sha256()
        for array in (run.offsets, run.rows, run.scores):
            given.update(array.tobytes())
        key += f" {given.hexdigest()}"
    costs: list[StageCost] = []
    for bound in pipeline.stages:
        key += f" {bound.digest}"
        earlier = run

        def make(bound: Bound = bound, earlier: Run | None = earlier) -> tuple[Run, StageCost]:
            return _run_stage(context, bound, queries, corpus, earlier, measure_memory)

        run, cost = context.remember(key, make)
        costs.append(cost)
    assert run is not None
    return Outcome(run, tuple(costs))


def _run_stage(
    context: Context, bound: Bound, queries: Queries, corpus: Corpus, run: Run | None, measure_memory: bool
) -> tuple[Run, StageCost]:
    component = context.make(bound)
    distribution, what = bound.registered.distribution, f"{bound.kind} `{bound.registered.name}`"
    memory = PeakMemory() if measure_memory or PeakMemory.is_running() else None
    with context.stage(bound.name, len(queries), "queries") as stage, memory or _NOTHING, blame(distribution, what):
        started = time.perf_counter()
        try:
            if bound.kind == "rerank":
                result = component.rerank(queries, run, corpus)
            else:
                result = component.retrieve(queries, corpus, run)
            _check(result, queries, corpus)
        except MalformedRun as error:
            name = queries.ids[error.query] if error.query < len(queries) else error.query
            raise PluginError(distribution, f"{what}: its list for the query {name!r} {error.problem}") from error
        seconds = time.perf_counter() - started
    seconds = max(0.0, seconds - stage.loading) + stage.replayed
    return result, StageCost(stage.name, seconds, memory.peak if memory else 0, stage.cost, stage.loading)


def _check(run: Any, queries: Queries, corpus: Corpus) -> None:
    from spaniel.data import Run

    if not isinstance(run, Run):
        raise TypeError(f"it returned {type(run).__name__}, not a Run")
    if len(run) != len(queries):
        raise ValueError(f"it returned lists for {len(run)} queries, not for {len(queries)}")
    if len(run.rows) and int(run.rows.max()) >= len(corpus):
        raise ValueError(f"it returned row {int(run.rows.max())} of a corpus of {len(corpus)} documents")

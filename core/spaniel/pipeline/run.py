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
from spaniel.errors import PluginError, UsageError
from spaniel.memory import PeakMemory
from spaniel.pipeline.bind import Bound, Pipeline
from spaniel.pipeline.flow import Flow, run_stage
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

    def ask(bound: Bound) -> None:
        component = context.make(bound)
        if hasattr(component, "needs"):
            with blame(bound.registered.distribution, f"{bound.kind} `{bound.registered.name}`"):
                for need in component.needs(corpus):
                    add(need)
        for named in bound.references.values() if not getattr(component, "covers_systems", False) else ():
            for one in named:
                for part in one.stages if isinstance(one, Pipeline) else (one,):
                    ask(part)

    for stage in pipeline.stages:
        ask(stage)
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
        PluginError: a component fails, or returns something that is no run over these queries, or no queries.
    """
    made = flow_through(context, pipeline, queries, corpus, run, measure_memory=measure_memory)
    last = made[-1][0].run
    if last is None:
        raise UsageError(f"`{pipeline.expression}` gives queries, not a run")
    return Outcome(last, tuple(cost for _, cost in made))


def flow_through(
    context: Context,
    pipeline: Pipeline,
    queries: Queries,
    corpus: Corpus,
    run: Run | None = None,
    *,
    measure_memory: bool = False,
) -> list[tuple[Flow, StageCost]]:
    """Run a pipeline as :func:`run_pipeline` does, and return what came out of each stage; it may end in rewriting."""
    build(context, pipeline, corpus.need)
    key = f"run {queries.digest} {corpus.need.recipe.address}"
    if run is not None:
        given = hashlib.sha256()
        for array in (run.offsets, run.rows, run.scores):
            given.update(array.tobytes())
        key += f" {given.hexdigest()}"
    flow = Flow(queries, run)
    made: list[tuple[Flow, StageCost]] = []
    for bound in pipeline.stages:
        key += f" {bound.digest}"
        before = flow

        def make(bound: Bound = bound, before: Flow = before) -> tuple[Flow, StageCost]:
            return _run_stage(context, bound, before, corpus, measure_memory)

        flow, cost = context.remember(key, make)
        made.append((flow, cost))
    return made


def _run_stage(
    context: Context, bound: Bound, flow: Flow, corpus: Corpus, measure_memory: bool
) -> tuple[Flow, StageCost]:
    component = context.make(bound)
    distribution, what = bound.registered.distribution, f"{bound.kind} `{bound.registered.name}`"
    memory = PeakMemory() if measure_memory or PeakMemory.is_running() else None
    check = _check_queries if bound.gives == "queries" else _check_run

    def call(queries: Queries, run: Run | None) -> Any:
        try:
            made = getattr(component, bound.call)(queries=queries, run=run, corpus=corpus)
            check(made, queries, corpus)
        except MalformedRun as error:
            name = queries.ids[error.query] if error.query < len(queries) else error.query
            raise PluginError(distribution, f"{what}: its list for the query {name!r} {error.problem}") from error
        return made

    with context.stage(bound.name, flow.size, "queries") as stage, memory or _NOTHING, blame(distribution, what):
        started = time.perf_counter()
        result = run_stage(bound, flow, call)
        seconds = time.perf_counter() - started
    seconds = max(0.0, seconds - stage.loading) + stage.replayed
    return result, StageCost(stage.name, seconds, memory.peak if memory else 0, stage.cost, stage.loading)


def _check_queries(made: Any, queries: Queries, corpus: Corpus) -> None:
    from spaniel.data import Queries, Variants

    if not isinstance(made, Queries | Variants):
        raise TypeError(f"it returned {type(made).__name__}, neither Queries nor Variants")
    if len(made) != len(queries):
        raise ValueError(f"it returned {len(made)} queries, not {len(queries)}")
    if isinstance(made, Queries) and made.ids != queries.ids:
        raise ValueError("it returned queries under other ids")


def _check_run(run: Any, queries: Queries, corpus: Corpus) -> None:
    from spaniel.data import Run

    if not isinstance(run, Run):
        raise TypeError(f"it returned {type(run).__name__}, not a Run")
    if len(run) != len(queries):
        raise ValueError(f"it returned lists for {len(run)} queries, not for {len(queries)}")
    if len(run.rows) and int(run.rows.max()) >= len(corpus):
        raise ValueError(f"it returned row {int(run.rows.max())} of a corpus of {len(corpus)} documents")

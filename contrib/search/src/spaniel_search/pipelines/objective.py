"""The quality of a pipeline on the queries that are tuned on."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import Any

from spaniel import Context, PluginError, Queries, Stage, UsageError
from spaniel.collections import find_dataset
from spaniel.data import OnError
from spaniel.learning import learned_from
from spaniel.pipeline import Pipeline
from spaniel.pipeline.run import needs
from spaniel.store import canonical_json, digest_bytes
from spaniel.system import Task, run_system

from spaniel_search.objectives import Outcome
from spaniel_search.parts import Part, open_part, share
from spaniel_search.pipelines.space import Pipelines
from spaniel_search.sessions import files_digest, open_session, settings_of

KEPT = 64
"""Results, objects and opened indexes that a session of an exploration keeps, each: stages that many candidates begin
with stay, and memory does not grow with the number of candidates."""


class PipelineObjective:
    """A measure of the pipeline that a candidate stands for, with its cost.

    Args:
        context: the session; what pipelines begin with alike is run once in it.
        space: the expression of the space, as in ``pipelines(expression="bm25(k1=?)")``.
        data: the collection, as the user names it.
        part: the queries.
        measure: name of the measure; higher is better.
        on_error: what malformed input in a folder does.
        held_out: the queries that will be reported on; a candidate whose models have learned from one of them fails.
    """

    staged = True

    def __init__(
        self,
        context: Context,
        space: str,
        data: str,
        part: Part,
        measure: str,
        on_error: OnError = "fail",
        held_out: Part | None = None,
    ) -> None:
        self.context, self.part, self.measure, self.held_out = context, part, measure, held_out
        self.told: dict[str, Any] = {"space": space, "data": data, "measure": measure, "on_error": on_error}
        self.space: Pipelines = context.create("search_space", space)
        self._shares: dict[float, Task] = {}

    @cached_property
    def task(self) -> Task:
        """The collection with the queries that are tuned on."""
        dataset = find_dataset(self.context, self.told["data"], self.told["on_error"])
        return open_part(self.context, dataset, self.part)

    @cached_property
    def _reported(self) -> Queries | None:
        if self.held_out is None:
            return None
        dataset = find_dataset(self.context, self.told["data"], self.told["on_error"])
        return open_part(self.context, dataset, self.held_out).queries

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        settings = settings_of(self.context)
        parts = {"part": asdict(self.part), "held_out": None if self.held_out is None else asdict(self.held_out)}
        return "spaniel_search.pipelines.objective:make", {"settings": settings, **parts, **self.told}

    @cached_property
    def identity(self) -> str:
        task = self.task
        assert task.qrels is not None
        data = [task.corpus.need.recipe.address, task.queries.digest, task.qrels.digest]
        parts = [self.measure, *data, *files_digest(self.context)]
        return digest_bytes(canonical_json(parts))

    def key(self, candidate: Any) -> str:
        """Return the digest of the pipeline: components, versions, every option, and the artifacts that it needs."""
        try:
            pipeline = self.pipeline(candidate)
            addresses = [need.recipe.address for need in needs(self.context, pipeline, self.task.corpus.need)]
        except (UsageError, PluginError) as error:
            return digest_bytes(canonical_json([candidate, str(error)]))
        return digest_bytes(canonical_json([pipeline.description, addresses]))

    def pipeline(self, candidate: Any) -> Pipeline:
        """Return the pipeline that a candidate stands for, checked."""
        return self.context.pipeline(self.space.build(candidate, self.context.seed))

    def score(self, candidate: Any, effort: float) -> Outcome:
        """Run the pipeline on a share of the queries and measure it."""
        pipeline = self.pipeline(candidate)
        self._refuse_learned(pipeline)
        store = self.context.store
        wanted = needs(self.context, pipeline, self.task.corpus.need)
        built = [need.recipe.address for need in wanted if not store.has(need.recipe.address)]
        if effort not in self._shares:
            self._shares[effort] = share(self.task, effort, self.context.seed)
        system = run_system(self.context, pipeline, self._shares[effort], [self.measure])
        assert system.evaluation is not None
        detail = {"expression": str(pipeline.expression), "built": built}
        return Outcome(system.evaluation.means[self.measure], dict(system.cost), detail)

    def _refuse_learned(self, pipeline: Pipeline) -> None:
        reported = self._reported
        found = [] if reported is None else learned_from(self.context, pipeline, reported)
        if reported is not None and found:
            of = f"{len(found[0].queries)} of the {len(reported)} queries to report on"
            raise UsageError(f"{found[0]}, which has {of}: choose other splits or models, or --allow-learned")


def make(
    settings: dict[str, Any],
    part: dict[str, Any],
    held_out: dict[str, Any] | None,
    space: str,
    data: str,
    measure: str,
    on_error: OnError,
) -> PipelineObjective:
    """Make the objective in a worker process."""
    context = open_session(settings)
    held = None if held_out is None else Part(**held_out)
    return PipelineObjective(context, space, data, Part(**part), measure, on_error, held)


def space_of(text: str, digits: int = 3) -> str:
    """Return the expression of the space of an expression with holes."""
    return str(Stage("spaniel-search/pipelines", expression=text, digits=digits))

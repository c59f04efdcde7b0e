"""Tuning a pipeline on some queries, and reporting on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from spaniel import ArtifactError, Context, Stage, UsageError
from spaniel.collections import find_dataset
from spaniel.data import OnError
from spaniel.evaluation import Evaluation, parse_measures
from spaniel.evaluation.statistics import bootstrap_intervals, randomisation_tests
from spaniel.learning import learned_from
from spaniel.pipeline.run import needs
from spaniel.store import Artifact, Draft
from spaniel.system import Task, describe_task, run_system

from spaniel_search.config import Budget
from spaniel_search.parts import Part, check_apart, choose_parts, open_part
from spaniel_search.pipelines.objective import PipelineObjective, space_of
from spaniel_search.plots import write_plots
from spaniel_search.report import write_report
from spaniel_search.searching import Plan, Result, read_result, search_need


@dataclass(frozen=True)
class Exploration:
    """What is explored.

    Attributes:
        expression: a pipeline with holes.
        data: the collection, as the user names it.
        strategy: a strategy, as an expression; empty for :func:`default_strategy`.
        budget: what may be spent.
        measure: what is tuned for.
        tune, report: splits, where not the usual ones.
        batch: candidates scored between two tellings.
        processes: how many processes score.
        digits: significant digits of real numbers.
        on_error: what malformed input in a folder does.
        allow_learned: whether pipelines whose models have learned from queries to report on are reported on all the same.
        timeout: seconds that a candidate may take; see :class:`spaniel_search.searching.Plan`.
    """

    expression: str
    data: str
    strategy: str
    budget: Budget
    measure: str = "nDCG@10"
    tune: str | None = None
    report: str | None = None
    batch: int = 4
    processes: int = 1
    digits: int = 3
    on_error: OnError = "fail"
    timeout: float | None = None
    allow_learned: bool = False


@dataclass(frozen=True)
class Explored:
    """The result of an exploration, where it is kept, and whether it was found there."""

    result: Result
    artifact: Artifact
    found: bool = False

    @property
    def expression(self) -> str:
        """The best pipeline."""
        return str(self.result.best.detail["expression"])


def explore(context: Context, wanted: Exploration) -> Explored:
    """Fill the holes of a pipeline with what works best on the queries that are tuned on, and report on others.

    The walk begins at the default of every hole, and both that and the best are scored on all queries that are tuned on at
    the end, so that what it finds is at least as good there.
    The result is an artifact; one that was stopped goes on, and one that is there is read.

    Raises:
        UsageError: something is wrong with the expression, the strategy, the measure or the collection, or queries to
            report on were tuned on; all before anything is loaded or built but the collection itself. Or every candidate
            failed; one whose models have learned from queries to report on does.
    """
    (measure,) = parse_measures([wanted.measure])
    space = space_of(wanted.expression, wanted.digits)
    strategy = wanted.strategy or default_strategy(len(context.create("search_space", space).axes))
    context.create("search_space", strategy)
    dataset = find_dataset(context, wanted.data, wanted.on_error)
    parts = choose_parts(dataset, wanted.tune, wanted.report)
    tuned, held_out = (open_part(context, dataset, part) for part in parts)
    check_apart(tuned, held_out)
    held_part = None if wanted.allow_learned else parts[1]
    objective = PipelineObjective(context, space, wanted.data, parts[0], measure, wanted.on_error, held_part)
    first = objective.space.first()
    plan = Plan(space, strategy, wanted.budget, wanted.batch, wanted.processes, (first,), timeout=wanted.timeout)
    facts = {
        "expression": wanted.expression,
        "measure": measure,
        "data": _described(tuned, parts[0]),
        "held_out_data": _described(held_out, parts[1]),
    } | ({"allow_learned": True} if wanted.allow_learned else {})

    def finish(result: Result, draft: Draft) -> None:
        result.facts["held_out"] = _report(context, objective, result, first, held_out, measure)
        best = objective.pipeline(result.best.candidate)
        result.facts["learned_from"] = {
            which: [one.to_json() for one in learned_from(context, best, task.queries)]
            for which, task in (("tuned", tuned), ("held_out", held_out))
        }
        write_plots(result, draft.file)
        write_report(result, draft.file("report.html"))

    need = search_need(context, plan, objective, facts=facts, finish=finish)
    found = context.store.has(need.recipe.address)
    artifact = context.obtain(need)
    return Explored(read_result(artifact), artifact, found)


def remove_losers(context: Context, explored: Explored) -> tuple[int, int]:
    """Remove the artifacts that the walk built and that the best candidate does not need; they can be built again.

    Where the result was found, not walked to, nothing is removed: what is there by now was built for something else.

    Returns:
        How many were removed, and how many bytes they took.
    """
    if explored.found:
        return 0, 0
    result = explored.result
    built = {address for trial in result.trials for address in trial.detail.get("built", ())}
    kept = set(result.facts["held_out"]["needed"])
    count = size = 0
    for name in sorted(built - kept):
        try:
            size += context.store.open(name).bytes
            context.store.remove(name)
            count += 1
        except (ArtifactError, UsageError):
            continue  # another process has removed it, or is using it
    return count, size


def _described(task: Task, part: Part) -> dict[str, Any]:
    left_out = len(task.dataset.queries(part.split)) - len(task.queries) if part.without else 0
    return {**describe_task(task), "part": str(part), "half": part.half, "left_out": left_out}


def _report(
    context: Context, objective: PipelineObjective, result: Result, first: Any, task: Task, measure: str
) -> dict[str, Any]:
    """Return what the best candidate, and the one to begin with, do on the queries that nothing was tuned on.

    Where the one to begin with failed, it is not run again, and has its reason in place of figures.
    """
    effort = result.best.effort
    tuned = next((t for t in result.trials if t.candidate == first and t.effort == effort and not t.repeated), None)
    candidates = [result.best.candidate] + ([first] if tuned is not None and tuned.score is not None else [])
    pipelines = [objective.pipeline(candidate) for candidate in candidates]
    systems = [run_system(context, pipeline, task, [measure]) for pipeline in pipelines]
    evaluations: list[Evaluation] = [system.evaluation for system in systems if system.evaluation is not None]
    values = np.stack([evaluation.values(measure) for evaluation in evaluations])
    intervals = bootstrap_intervals(values, context.seed)

    def told(at: int) -> dict[str, Any]:
        system = systems[at]
        return {
            "expression": str(system.pipeline.expression),
            "score": float(values[at].mean()),
            "interval": [float(end) for end in intervals[at]],
            "cost": dict(system.cost),
        }

    found: dict[str, Any] = {"effort": effort, "best": {**told(0), "tuned": result.best.score}}
    if len(systems) > 1:
        assert tuned is not None
        found["beginning"] = {**told(1), "tuned": tuned.score}
        found["difference"] = float((values[0] - values[1]).mean())
        found["p_value"] = float(randomisation_tests(values[:1] - values[1:], context.seed)[0])
    else:
        error = tuned.error if tuned is not None else "it was not scored"
        found["beginning"] = {"expression": str(objective.space.build(first, context.seed)), "error": error}
        found["difference"] = found["p_value"] = None
    extra = [*(trial.cost for trial in result.trials if trial.final), *(system.cost for system in systems)]
    found["spent"] = {name: sum(cost.get(name, 0.0) for cost in extra) for name in ("model_calls", "tokens")}
    found["needed"] = [n.recipe.address for p in pipelines for n in needs(context, p, task.corpus.need)]
    return found


def default_strategy(holes: int) -> str:
    """Return the strategy that is used where none is named: climbing, from the best of some samples of a larger space."""
    return str(Stage("greedy", neighbours=4, **({"startup": 8} if holes > 2 else {})))

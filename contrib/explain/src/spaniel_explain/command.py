"""``spaniel faithfulness``."""

from __future__ import annotations

from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import expression_argument, on_error_option, running, running_options, split_option
from spaniel.cli.common import left_out as tell_left_out
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table
from spaniel.collections import find_dataset
from spaniel.data import OnError
from spaniel.explain import scoring_stage
from spaniel.pipeline import Pipeline
from spaniel.pipeline.flow import Flow
from spaniel.pipeline.run import flow_through
from spaniel.system import open_task

_HEADS = {
    "deletion": "deletion ↓",
    "insertion": "insertion ↑",
    "average drop": "avg drop ↓",
    "increase": "increase ↑",
    "sensitivity": "sensitivity ↓",
    "ms": "ms",
    "model calls": "calls",
}


@click.command()
@expression_argument
@click.argument("data")
@click.option(
    "--explainer", "explainers", multiple=True, required=True, help="Component of kind explain; several compare."
)
@click.option(
    "--side", type=click.Choice(["query", "document"]), default="query", show_default=True, help="Whose words count."
)
@click.option("--queries", "count", type=click.IntRange(1), default=20, show_default=True, help="Queries drawn.")
@click.option("--documents", type=click.IntRange(1), default=1, show_default=True, help="Best documents of each.")
@click.option("--steps", type=click.IntRange(1), default=10, show_default=True, help="Points of the curves.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Words kept for the drop.",
)
@click.option("--noise", type=click.IntRange(0), default=3, show_default=True, help="Altered texts for sensitivity.")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Words for the overlap.")
@split_option
@on_error_option
@json_option
@running_options
@click.pass_obj
def faithfulness(
    state: State,
    /,
    expression: str,
    data: str,
    explainers: tuple[str, ...],
    side: str,
    count: int,
    documents: int,
    steps: int,
    share: float,
    noise: int,
    top: int,
    split: str | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure how faithful explainers are to the scores of a pipeline's last stage that scores, and what they cost.

    Deletion and insertion (areas), average drop and increase, sensitivity to a missing word, and how two explainers agree;
    means over pairs of query and document, with 95 % bootstrap intervals.

    \b
    spaniel faithfulness dense python-docs --explainer occlusion --explainer integrated-gradients
    """
    from spaniel_explain.measuring import MEASURES, Plan, Subject, measure, prepare

    if len(set(explainers)) < len(explainers):
        raise UsageError("an explainer is given twice")
    with running(state, **settings) as context:
        pipeline = context.pipeline(expression)
        at = scoring_stage(pipeline)
        target = pipeline.stages[at]
        prepared = prepare(context, target, explainers, side)
        task = open_task(context, find_dataset(context, data, on_error), split)
        tell_left_out(task.dataset, task.corpus)
        drawn = sorted(context.rng("faithfulness", "queries").permutation(len(task.queries))[:count].tolist())
        queries = task.queries.select(drawn)
        run = context.run(pipeline, queries, task.corpus).cut(documents)
        first = Pipeline(pipeline.expression, pipeline.stages[:at])
        flow = flow_through(context, first, queries, task.corpus)[-1][0] if at else Flow(queries)
        if any(len(flow.asked(owner)) > 1 for owner in set(run.owners.tolist())):
            raise UsageError(f"`{target.expression}` is asked several texts for a query: measure it without rewriting")
        before = flow.run if target.follows != "never" else None
        subjects = [
            Subject(flow.asked(owner)[0][0], row, task.corpus, None if before is None else before.select([owner]))
            for owner, row in zip(run.owners.tolist(), run.rows.tolist(), strict=True)
        ]
        if not subjects:
            raise UsageError("the pipeline finds no document for these queries: there is nothing to explain")
        plan = Plan(side, steps, share, noise, top)
        with context.stage("faithfulness", len(subjects), "pairs"):
            report = measure(context, prepared, subjects, plan)
    seed = settings["seed"]
    if as_json:
        about = {"expression": str(pipeline.expression), "data": data, "seed": seed, **plan._asdict()}
        print_json({**about, **report.to_json(seed)})
        return
    left_out = f", {report.left_out} left out" if report.left_out else ""
    click.echo(f"{target.expression} on {data}: {report.pairs} pairs{left_out}, words of the {side}")
    rows = [
        [name, *(_cell(report.summary(measure, row, seed), measure) for measure in MEASURES)]
        for row, name in enumerate(report.names)
    ]
    print_table(["explainer", *(_HEADS[measure] for measure in MEASURES)], rows)
    if report.agreement:
        click.echo("")
        found = report.to_json(seed)["agreement"]
        rows = [
            [" and ".join(one["explainers"]), *(_interval(one[key]) for key in ("rank correlation", "overlap"))]
            for one in found
        ]
        print_table(["agreement", "rank correlation", f"overlap of {top}"], rows)


def _cell(found: tuple[float, float, float] | None, measure: str) -> str:
    if found is None:
        return "–"
    mean, low, high = found
    if measure in ("ms", "model calls"):
        return f"{mean:,.1f}"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _interval(found: dict[str, float] | None) -> str:
    return "–" if found is None else f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"

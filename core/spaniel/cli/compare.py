"""``spaniel compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from spaniel.cli.common import (
    F,
    check_output,
    judging_options,
    left_out,
    on_error_option,
    read_expression,
    running,
    running_options,
    split_option,
    tell_judging,
    tell_learned,
)
from spaniel.cli.isolated import run_isolated
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.cli.run import measure_option
from spaniel.collections import find_dataset
from spaniel.data import OnError
from spaniel.errors import UsageError
from spaniel.evaluation import (
    DEFAULT_MEASURES,
    SystemResult,
    check_report_extra,
    comparison_table,
    parse_measures,
    write_report,
    write_value,
)
from spaniel.evaluation import compare as compare_systems
from spaniel.record import versions
from spaniel.system import Task, describe_task, open_task, run_system

_COMPARING = (
    click.option(
        "--baseline",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Which of them the others are compared with.",
    ),
    click.option("--all-pairs", is_flag=True, help="Compare every pair instead."),
    click.option(
        "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a self-contained HTML report."
    ),
)


def comparison_options(command: F) -> F:
    """Add the options of comparisons."""
    for option in reversed(_COMPARING):
        command = option(command)
    return command


def check_comparison(count: int, what: str, baseline: int, all_pairs: bool, report: Path | None) -> None:
    """Check the options of a comparison of ``count`` systems before any work is done.

    Raises:
        UsageError: they do not fit, or the report cannot be written.
    """
    if baseline > count:
        raise UsageError(f"--baseline {baseline}: there are {count} {what}")
    if all_pairs and baseline != 1:
        raise UsageError("--all-pairs compares every pair, so --baseline has no meaning beside it")
    check_output(report)
    if report is not None:
        check_report_extra()


@click.command()
@click.argument("expressions", nargs=-1, required=True, metavar="EXPRESSION... DATA")
@measure_option
@judging_options
@split_option
@comparison_options
@click.option("--isolate", is_flag=True, help="Run each system in a process of its own: its memory, its loading.")
@on_error_option
@json_option
@running_options
@click.pass_obj
def compare(
    state: State,
    /,
    expressions: tuple[str, ...],
    measures: tuple[str, ...],
    rel: float | None,
    leave_out_own: bool | None,
    split: str | None,
    baseline: int,
    all_pairs: bool,
    report: Path | None,
    isolate: bool,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Put pipelines side by side on a collection: quality with intervals, significance, and cost.

    Differences are tested with paired randomisation tests, corrected for the number of comparisons (Holm).
    """
    *given, data = expressions
    texts = [read_expression(text) for text in given]
    if not texts:
        raise UsageError("compare takes at least one expression, then the collection: compare bm25 dense python-docs")
    check_comparison(len(texts), "expressions", baseline, all_pairs, report)
    names = parse_measures(measures or DEFAULT_MEASURES)
    with running(state, **settings) as context:
        # Every expression is checked before the first one runs.
        pipelines = [context.pipeline(text) for text in texts]
        task = open_task(context, find_dataset(context, data, on_error), split, rel, leave_out_own)
        left_out(task.dataset, task.corpus)
        if task.qrels is None:
            raise UsageError(f"{task.dataset.name} has no judgments, so there is nothing to compare by")
        tell_judging(task)
        systems = [
            run_isolated(state, pipeline, task, data, on_error, names, settings)
            if isolate
            else run_system(context, pipeline, task, names)
            for pipeline in pipelines
        ]
        learned = {name: tell_learned(context, p, task) for name, p in zip(_names(texts), pipelines, strict=True)}
        made_with = versions(context)
    results = [
        SystemResult(name, str(system.pipeline.expression), system.evaluation, system.cost)
        for name, system in zip(_names(texts), systems, strict=True)
        if system.evaluation is not None
    ]
    recipe = {"made_with": made_with, "settings": {k: v for k, v in settings.items() if v is not None}}
    print_comparison(results, task, baseline, all_pairs, settings["seed"], report, recipe, as_json, learned=learned)


def print_comparison(
    results: Sequence[SystemResult],
    task: Task,
    baseline: int,
    all_pairs: bool,
    seed: int,
    report: Path | None,
    recipe: Mapping[str, Any],
    as_json: bool,
    per_query: bool = False,
    learned: Mapping[str, list[dict[str, Any]]] | None = None,
) -> None:
    """Compare systems, and print and report what was found; ``learned``: by system, the queries that it has learned from."""
    comparison = compare_systems(results, describe_task(task), baseline=baseline - 1, all_pairs=all_pairs, seed=seed)
    if report is not None:
        write_report(report, comparison, dict(zip(task.queries.ids, task.queries.texts, strict=True)), recipe)
    if as_json:
        print_json(comparison.to_json(per_query) | ({} if learned is None else {"learned_from": learned}))
        return
    click.echo(comparison_table(comparison))
    if per_query:
        for system in comparison.systems:
            click.echo(f"\n{system.name}")
            for column, query in enumerate(system.evaluation.query_ids):
                pairs = zip(comparison.measures, system.evaluation.per_query[:, column], strict=True)
                click.echo(f"  {query}  " + "  ".join(f"{name} {write_value(name, value)}" for name, value in pairs))
    if report is not None:
        click.echo(f"wrote {report}")


def _names(texts: list[str]) -> list[str]:
    """Name each system by its expression; the same expression twice is told apart by its number."""
    return [text if texts.count(text) == 1 else f"{text} #{position}" for position, text in enumerate(texts, 1)]

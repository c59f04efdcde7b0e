"""``spaniel compare`` and ``spaniel evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spaniel.cli.common import (
    check_output,
    left_out,
    on_error_option,
    read_expression,
    running,
    running_options,
    split_option,
)
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.cli.run import measure_option
from spaniel.collections import find_dataset
from spaniel.data import OnError, read_run
from spaniel.errors import UsageError
from spaniel.evaluation import (
    DEFAULT_MEASURES,
    SystemResult,
    check_report_extra,
    comparison_table,
    parse_measures,
    write_report,
)
from spaniel.evaluation import compare as compare_systems
from spaniel.evaluation import evaluate as evaluate_run
from spaniel.record import versions
from spaniel.system import describe_task, open_task, run_system


@click.command()
@click.argument("expressions", nargs=-1, required=True, metavar="EXPRESSION... DATA")
@measure_option
@split_option
@click.option(
    "--baseline",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Which expression the others are compared with.",
)
@click.option("--all-pairs", is_flag=True, help="Compare every pair instead.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a self-contained HTML report.")
@on_error_option
@json_option
@running_options
@click.pass_obj
def compare(
    state: State,
    /,
    expressions: tuple[str, ...],
    measures: tuple[str, ...],
    split: str | None,
    baseline: int,
    all_pairs: bool,
    report: Path | None,
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
    if baseline > len(texts):
        raise UsageError(f"--baseline {baseline}: there are {len(texts)} expressions")
    if all_pairs and baseline != 1:
        raise UsageError("--all-pairs compares every pair, so --baseline has no meaning beside it")
    check_output(report)
    names = parse_measures(measures or DEFAULT_MEASURES)
    if report is not None:
        check_report_extra()
    with running(state, **settings) as context:
        # Every expression is checked before the first one runs.
        pipelines = [context.pipeline(text) for text in texts]
        task = open_task(context, find_dataset(context, data, on_error), split)
        if task.qrels is None:
            raise UsageError(f"{task.dataset.name} has no judgments, so there is nothing to compare by")
        left_out(task.dataset, task.corpus)
        systems = [run_system(context, pipeline, task, names) for pipeline in pipelines]
        made_with = versions(context)
    results = [
        SystemResult(name, str(system.pipeline.expression), system.evaluation, system.cost)
        for name, system in zip(_names(texts), systems, strict=True)
        if system.evaluation is not None
    ]
    comparison = compare_systems(
        results, describe_task(task), baseline=baseline - 1, all_pairs=all_pairs, seed=settings["seed"]
    )
    if report is not None:
        recipe = {"made_with": made_with, "settings": {k: v for k, v in settings.items() if v is not None}}
        write_report(report, comparison, dict(zip(task.queries.ids, task.queries.texts, strict=True)), recipe)
    if as_json:
        print_json(comparison.to_json())
        return
    click.echo(comparison_table(comparison))
    if report is not None:
        click.echo(f"wrote {report}")


@click.command()
@click.argument("run_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data")
@measure_option
@split_option
@click.option("--per-query", is_flag=True, help="Print every query, too.")
@on_error_option
@json_option
@click.pass_obj
def evaluate(
    state: State,
    run_file: Path,
    data: str,
    measures: tuple[str, ...],
    split: str | None,
    per_query: bool,
    on_error: OnError,
    as_json: bool,
) -> None:
    """Measure RUN_FILE (TREC format) against the judgments of a collection."""
    names = parse_measures(measures or DEFAULT_MEASURES)
    settings: dict[str, Any] = {"device": "auto", "seed": 0, "batch_size": None, "offline": False, "trace": None}
    with running(state, **settings) as context:
        task = open_task(context, find_dataset(context, data, on_error), split)
        if task.qrels is None:
            raise UsageError(f"{task.dataset.name} has no judgments to measure by")
        left_out(task.dataset, task.corpus)
        run = read_run(run_file, task.queries, task.corpus)
        evaluation = evaluate_run(run, task.queries, task.corpus, task.qrels, names)
    if as_json:
        result: dict[str, Any] = {"data": describe_task(task), "measures": dict(evaluation.means)}
        if per_query:
            result["per_query"] = {
                query: {name: float(evaluation.per_query[row, column]) for row, name in enumerate(evaluation.measures)}
                for column, query in enumerate(evaluation.query_ids)
            }
        print_json(result)
        return
    if per_query:
        click.echo(f"{'query':<20} {'  '.join(evaluation.measures)}")
        for column, query in enumerate(evaluation.query_ids):
            pairs = zip(evaluation.measures, evaluation.per_query[:, column], strict=True)
            values = "  ".join(f"{value:{len(name)}.4f}" for name, value in pairs)
            click.echo(f"{query:<20} {values}")
    for name, value in evaluation.means.items():
        click.echo(f"{name:<20} {value:.4f}")


def _names(texts: list[str]) -> list[str]:
    """Name each system by its expression; the same expression twice is told apart by its number."""
    return [text if texts.count(text) == 1 else f"{text} #{position}" for position, text in enumerate(texts, 1)]

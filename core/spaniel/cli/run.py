"""``spaniel run`` and ``spaniel rerun``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from spaniel.cli.common import (
    check_output,
    expression_argument,
    judging_options,
    left_out,
    on_error_option,
    running,
    running_options,
    split_option,
    tell_judging,
    tell_learned,
)
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.collections import find_dataset
from spaniel.context import Context
from spaniel.data import OnError, read_run_file, write_run
from spaniel.evaluation import DEFAULT_MEASURES, parse_measures, write_value
from spaniel.pipeline import Pipeline
from spaniel.record import read_record, versions, write_record
from spaniel.system import System, Task, describe_task, open_task, run_system

measure_option = click.option(
    "-m", "--measure", "measures", multiple=True, metavar="NAME", help="Measure by its ir-measures name; repeatable."
)


def _run(
    context: Context,
    expression: str,
    data: str,
    split: str | None,
    on_error: OnError,
    measures: tuple[str, ...],
    rel: float | None,
    leave_out_own: bool | None,
) -> tuple[System, Task]:
    pipeline: Pipeline = context.pipeline(expression)
    names = parse_measures(measures or DEFAULT_MEASURES)
    task = open_task(context, find_dataset(context, data, on_error), split, rel, leave_out_own)
    left_out(task.dataset, task.corpus)
    tell_judging(task)
    return run_system(context, pipeline, task, names), task


@click.command()
@expression_argument
@click.argument("data")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Run file to write (TREC, .gz and .zst too).",
)
@measure_option
@judging_options
@split_option
@on_error_option
@json_option
@running_options
@click.pass_obj
def run(
    state: State,
    /,
    expression: str,
    data: str,
    output: Path | None,
    measures: tuple[str, ...],
    rel: float | None,
    leave_out_own: bool | None,
    split: str | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Run a pipeline on a collection, measure it, and write the run with a record that repeats it.

    EXPRESSION composes components, as in "bm25(k=1000) >> cut(k=100)"; DATA is a name or a folder.
    """
    check_output(output)
    with running(state, **settings) as context:
        system, task = _run(context, expression, data, split, on_error, measures, rel, leave_out_own)
        learned = tell_learned(context, system.pipeline, task)
        if output is not None:
            write_run(output, system.run, task.queries, task.corpus, tag="spaniel")
            write_record(context, system, task, data, on_error, output)
    means = dict(system.evaluation.means) if system.evaluation else {}
    if as_json:
        print_json(
            {
                "data": describe_task(task),
                "expression": str(system.pipeline.expression),
                "measures": means,
                "cost": system.cost,
                "stages": [
                    {
                        "name": s.name,
                        "seconds": s.seconds,
                        "loading_seconds": s.loading,
                        "peak_memory_bytes": s.peak_memory,
                        "counts": dict(s.counts),
                    }
                    for s in system.stages
                ],
                "learned_from": learned,
                "run": str(output) if output else None,
            }
        )
        return
    from spaniel.evaluation import cost_line

    click.echo(f"{system.pipeline.expression}  on {task.dataset.name} {task.split}".rstrip())
    for name, value in means.items():
        click.echo(f"  {name:<12} {write_value(name, value)}")
    if not means:
        click.echo("  (no judgments: nothing to measure)")
    click.echo(f"  {cost_line(system.cost)}")
    if output is not None:
        click.echo(f"  wrote {output} and {output.name}.json beside it")


@click.command()
@click.argument("record", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--on-error", type=click.Choice(["fail", "skip"]), help="What malformed input does; by default what it did then."
)
@json_option
@click.pass_obj
def rerun(state: State, record: Path, on_error: OnError | None, as_json: bool) -> None:
    """Repeat the run that RECORD (a run file, or the .json beside it) describes; exit code 1 if the result differs."""
    told = read_record(record)
    settings = {"device": told["device"], "seed": told["seed"], "batch_size": told.get("batch_size")}
    with running(state, **settings, offline=False, trace=None) as context:
        system, task = _run(
            context,
            told["expression"],
            told["data"],
            told["split"] or None,
            on_error or told["on_error"],
            tuple(told["measures"]),
            told["task"].get("rel"),
            {"left out": True, "kept": False}.get(told["task"].get("own_documents")),
        )
        suffix = "".join(Path(told["run"]).suffixes[-2:]) or ".trec"
        with tempfile.TemporaryDirectory() as folder:
            repeated = Path(folder) / f"run{suffix}"
            write_run(repeated, system.run, task.queries, task.corpus, tag="spaniel")
            from spaniel.store import digest_file

            same = digest_file(repeated) == told["run_sha256"]
        changed = _changes(told, versions(context), describe_task(task))
    measured = dict(system.evaluation.means) if system.evaluation else {}
    measures = {
        name: {"before": before, "now": measured[name], "difference": measured[name] - before}
        for name, before in told["measures"].items()
        if name in measured
    }
    original = record.with_suffix("") if record.suffix == ".json" else record
    queries = [] if same or not original.is_file() else _differing(original, system, task)
    if as_json:
        print_json({"same": same, "changed": changed, "measures": measures, "queries": queries})
    else:
        click.echo("the result is the same" if same else "the result differs")
        for line in changed:
            click.echo(f"  {line}")
        if not same:
            for name, values in measures.items():
                written = [write_value(name, values[when]) for when in ("before", "now")]
                change = f"{' → '.join(written)} ({values['difference']:+.4f})"
                click.echo(f"  {name:<12} {change}")
            if queries:
                click.echo(f"  {len(queries)} queries have another order, first {', '.join(queries[:5])}")
    if not same:
        raise click.exceptions.Exit(1)


def _changes(told: dict[str, Any], now: dict[str, str], task: dict[str, Any]) -> list[str]:
    then = told["made_with"]
    lines = [
        f"{name} was {then.get(name, 'absent')} and is {now.get(name, 'absent')}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    for what in ("corpus_digest", "queries_digest"):
        if told["task"].get(what) != task[what]:
            lines.append(f"{what.replace('_', ' ')} is another: the collection has changed")
    return lines


def _differing(original: Path, system: System, task: Task) -> list[str]:
    """Return the ids of the queries whose documents, or their order, are others than in the file.

    Documents that the collection lacks by now are in the file all the same: they make a list another.
    """
    earlier = read_run_file(original, task.queries, task.corpus, "skip")
    found = []
    for position, name in enumerate(task.queries.ids):
        then = earlier.documents.ids(earlier.run.of(position)[0].tolist())
        if then != task.corpus.ids(system.run.of(position)[0]):
            found.append(name)
    return found

"""Running a system in a process of its own, so that what it costs is its own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from spaniel import leash
from spaniel.cli.main import State
from spaniel.data import OnError, read_run
from spaniel.errors import UsageError
from spaniel.evaluation import check_judgments, evaluate
from spaniel.pipeline import Pipeline
from spaniel.system import System, Task

_FLAGS = {True: "--leave-out-own", False: "--keep-own"}


def run_isolated(
    state: State,
    pipeline: Pipeline,
    task: Task,
    data: str,
    on_error: OnError,
    measures: Sequence[str],
    settings: Mapping[str, Any],
) -> System:
    """Run a pipeline by ``spaniel run`` in a process of its own, and measure its run in this one.

    Raises:
        UsageError: a trace is asked for, which follows one process.
        click.exceptions.Exit: the process failed; what it said stands on standard error.
    """
    if settings.get("trace"):
        raise UsageError("--trace follows one process; leave it out, or leave --isolate out")
    assert task.qrels is not None  # the command has refused a collection without judgments
    check_judgments(measures, task.qrels)
    with tempfile.TemporaryDirectory(prefix="spaniel-isolated-") as folder:
        file = Path(folder) / "run.trec"
        asked = [*(["--store", state.store] if state.store else [])]
        for plugin in state.files:
            asked += ["--plugin", plugin]
        asked += ["run", str(pipeline.expression), data, "-o", str(file), "--json", "--on-error", on_error]
        asked += [_FLAGS[task.own_left_out], *(["--split", task.split] if task.split else [])]
        asked += ["--device", settings["device"], "--seed", str(settings["seed"])]
        asked += ["--batch-size", str(settings["batch_size"])] if settings["batch_size"] else []
        asked += ["--offline"] if settings["offline"] else []
        # Its bars are shown on a terminal; what it notes of the collection has been said here.
        said, cost_file = Path(folder) / "said", Path(folder) / "cost.json"
        with said.open("wb") as errors, cost_file.open("wb") as output:
            process = leash.start("spaniel", asked, stdout=output, stderr=None if sys.stderr.isatty() else errors)
            try:
                code = process.wait()
            finally:
                leash.end(process)
        if code:
            ended = f" (killed by signal {-code})" if code < 0 else ""
            click.echo(said.read_text(encoding="utf-8", errors="replace"), err=True, nl=False)
            click.echo(f"Error: the process of `{pipeline.expression}` failed{ended}", err=True)
            raise click.exceptions.Exit(code if code > 0 else 1)
        run = read_run(file, task.queries, task.corpus)
        cost = {name: float(value) for name, value in json.loads(cost_file.read_bytes())["cost"].items()}
    evaluation = evaluate(run, task.queries, task.corpus, task.qrels, measures)
    return System(pipeline, run, evaluation, (), cost)

"""Options and helpers that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spaniel.cli.main import State
from spaniel.context import Context
from spaniel.errors import UsageError
from spaniel.observe import ProgressBars, Trace

if TYPE_CHECKING:
    from spaniel.data import Corpus
    from spaniel.pipeline import Pipeline
    from spaniel.protocols import Dataset
    from spaniel.system import Task

_NAMED = 5
"""Files that a note names."""
F = TypeVar("F", bound=Callable[..., Any])

_RUNNING = (
    click.option("--device", default="auto", show_default=True, help="Where models run: auto, cpu, cuda, cuda:1, mps."),
    click.option("--seed", default=0, show_default=True, help="Seed of every random stream."),
    click.option(
        "--batch-size", type=click.IntRange(1), help="Texts or pairs per batch; components choose by default."
    ),
    click.option("--offline", is_flag=True, help="Never reach the network."),
    click.option("--trace", type=click.Path(dir_okay=False), help="Write a trace of the stages (Chrome's format)."),
)

split_option = click.option(
    "--split", default=None, help="Split of the collection; by default test, else its only one."
)
on_error_option = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What malformed input in a folder does: fail with its place, or be counted and left out.",
)


_JUDGING = (
    click.option(
        "--rel",
        type=click.FloatRange(0, min_open=True),
        help="Grade from which on a document is relevant; by default what the collection says, else above 0.",
    ),
    click.option(
        "--leave-out-own/--keep-own",
        default=None,
        help="Leave the document whose id is the query's out of its list; by default as the collection is used.",
    ),
)


def judging_options(command: F) -> F:
    """Add the options that say what counts as relevant."""
    for option in reversed(_JUDGING):
        command = option(command)
    return command


def read_expression(text: str) -> str:
    """Return an expression as text; ``@FILE`` is read from a YAML file.

    Raises:
        UsageError: the file cannot be read, or holds no pipeline.
    """
    if not text.startswith("@"):
        return text
    from spaniel.expression.data import DataFault, from_data
    from spaniel.yaml import read_yaml

    read = read_yaml(text[1:])
    try:
        return str(from_data(read.content))
    except DataFault as error:
        raise UsageError(f"{read.where(error.place)}: {error}") from error


expression_argument = click.argument(
    "expression", callback=lambda context, parameter, text: read_expression(text), metavar="EXPRESSION|@FILE.yaml"
)


def running_options(command: F) -> F:
    """Add the options of everything that runs components."""
    for option in reversed(_RUNNING):
        command = option(command)
    return command


@contextmanager
def running(
    state: State,
    device: str,
    seed: int,
    batch_size: int | None,
    offline: bool,
    trace: str | None,
    keep: int | None = None,
) -> Iterator[Context]:
    """Open a session with progress bars on a terminal, and write the trace at its end."""
    registry = state.registry
    context = Context(
        state.store, device=device, seed=seed, batch_size=batch_size, offline=offline, registry=registry, keep=keep
    )
    check_output(trace)
    recorder = Trace()
    if sys.stderr.isatty():
        registry.observe(ProgressBars())
    if trace:
        registry.observe(recorder)
    try:
        yield context
    finally:
        if trace:
            recorder.save(trace)


def check_output(path: str | Path | None) -> None:
    """Check, before any work is done, that a file can be written where the user wants it.

    Raises:
        UsageError: its folder is not there, or cannot be written to.
    """
    if path is None:
        return
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder} to write {Path(path).name} into")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to, so {Path(path).name} cannot go there")


def tell_judging(task: Task) -> None:
    """Say on standard error what is measured otherwise than by default: another level, documents left out."""
    if task.qrels is not None and task.qrels.level is not None:
        click.echo(f"note: a document counts as relevant from grade {task.qrels.level:g} on", err=True)
    if task.own_left_out:
        own = int((task.corpus.rows(task.queries.ids) >= 0).sum())
        note = f"{own:,} of {len(task.queries):,} queries have one"
        click.echo(
            f"note: the document that has a query's id is left out of its list ({note}); --keep-own keeps it", err=True
        )


def tell_learned(context: Context, pipeline: Pipeline, task: Task) -> list[dict[str, Any]]:
    """Say on standard error which of a task's queries the models of a pipeline have learned from; return it as plain data."""
    from spaniel.learning import learned_from

    found = learned_from(context, pipeline, task.queries)
    for one in found:
        of = f"{len(one.queries):,} of the {len(task.queries):,} queries"
        click.echo(f"note: {one}, which has {of}: what is measured on them is no fair figure", err=True)
    return [one.to_json() for one in found]


def left_out(dataset: Dataset, corpus: Corpus) -> None:
    """Say on standard error what was left out of a collection: by ``--on-error skip``, or since it is no text."""
    info = corpus.info
    said = {"the documents": (info.get("skipped", 0), info.get("duplicates", 0), info.get("first_skipped", []))}
    for name, faults in getattr(dataset, "skipped", {}).items():
        said[name] = (faults.count, faults.duplicates, faults.first)
    for name, (malformed, duplicates, first) in said.items():
        if malformed or duplicates:
            what = f"{malformed:,} malformed and {duplicates:,} duplicate records were left out of {name}"
            click.echo(f"note: {what}{', first: ' + first[0] if first else ''}", err=True)
    for name, why in getattr(dataset, "unread", {}).items():
        click.echo(f"note: {name} is not read: {why}", err=True)
    for line in told(reading_of(dataset, corpus)):
        click.echo(f"note: {line}", err=True)


def reading_of(dataset: Dataset, corpus: Corpus) -> dict[str, Any]:
    """Return what is told of reading ordinary files, as plain data: what was read, passed over and guessed."""
    reading: Callable[[Mapping[str, Any]], dict[str, Any]] = getattr(dataset, "reading", lambda info: {})
    return reading(corpus.info)


def told(reading: Mapping[str, Any]) -> list[str]:
    """Return a line for what was read of ordinary files, one for what was passed over, and one for each guess."""
    if not reading:
        return []
    read = ", ".join(f"{count:,} {ending or 'without an ending'}" for ending, count in reading["read"].items())
    lines = [f"{sum(reading['read'].values()):,} files were read: {read}"]
    if reading["passed_over"]:
        count = sum(reason["files"] for reason in reading["passed_over"])
        reasons = [f"{of['files']:,} {of['why']} ({_first(of)})" for of in reading["passed_over"]]
        lines.append(f"{count:,} passed over: {'; '.join(reasons)}")
    for name, of in reading["guessed"].items():
        lines.append(f"{of['files']:,} read as {name}, which is a guess: {_first(of)}")
    return lines


def _first(of: Mapping[str, Any]) -> str:
    return ", ".join(of["first"][:_NAMED]) + (" …" if of["files"] > _NAMED else "")

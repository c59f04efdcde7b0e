"""Options and helpers that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
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
    from spaniel.protocols import Dataset

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


def left_out(dataset: Dataset, corpus: Corpus) -> None:
    """Say on standard error what ``--on-error skip`` left out of a collection."""
    info = corpus.info
    said = {"the documents": (info.get("skipped", 0), info.get("duplicates", 0), info.get("first_skipped", []))}
    for name, faults in getattr(dataset, "skipped", {}).items():
        said[name] = (faults.count, faults.duplicates, faults.first)
    for name, (malformed, duplicates, first) in said.items():
        if malformed or duplicates:
            what = f"{malformed:,} malformed and {duplicates:,} duplicate records were left out of {name}"
            click.echo(f"note: {what}{', first: ' + first[0] if first else ''}", err=True)

"""Options and helpers that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from spaniel.cli.main import State
from spaniel.context import Context
from spaniel.observe import ProgressBars, Trace

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

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
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


def running_options(command: F) -> F:
    """Add the options of everything that runs components."""
    for option in reversed(_RUNNING):
        command = option(command)
    return command


@contextmanager
def running(
    state: State, device: str, seed: int, batch_size: int | None, offline: bool, trace: str | None
) -> Iterator[Context]:
    """Open a session with progress bars on a terminal, and write the trace at its end."""
    registry = state.registry
    context = Context(state.store, device=device, seed=seed, batch_size=batch_size, offline=offline, registry=registry)
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


def print_json(data: Any) -> None:
    """Print JSON on standard output."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False))

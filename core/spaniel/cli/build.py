"""``spaniel plan`` and ``spaniel index``."""

from __future__ import annotations

from typing import Any

import click

from spaniel.cli.common import expression_argument, left_out, on_error_option, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.collections import find_dataset
from spaniel.data import OnError
from spaniel.evaluation import human_bytes
from spaniel.indexing import open_corpus
from spaniel.pipeline.run import build, needs


@click.command()
@expression_argument
@click.argument("data")
@on_error_option
@json_option
@running_options
@click.pass_obj
def plan(state: State, /, expression: str, data: str, on_error: OnError, as_json: bool, **settings: Any) -> None:
    """Show which artifacts a pipeline needs on a collection, which are there, and which would be built."""
    with running(state, **settings) as context:
        pipeline = context.pipeline(expression)
        wanted = needs(context, pipeline, find_dataset(context, data, on_error).documents())
        found: list[dict[str, Any]] = [
            {
                "type": need.recipe.type,
                "component": need.recipe.component,
                "version": need.recipe.version,
                "address": need.recipe.address,
                "there": context.store.has(need.recipe.address),
            }
            for need in wanted
        ]
    if as_json:
        print_json(
            {"expression": str(pipeline.expression), "stages": pipeline.description["stages"], "artifacts": found}
        )
        return
    click.echo(str(pipeline.expression))
    for position, stage in enumerate(pipeline.stages, 1):
        click.echo(f"  {position}. {stage.kind:<9} {stage.registered.full_name}")
    click.echo(f"needs, in {context.store.root}:")
    for item in found:
        state_word = "there" if item["there"] else "would be built"
        click.echo(f"  {item['address'][:12]}  {item['type']:<12} {item['component']:<32} {state_word}")


@click.command()
@expression_argument
@click.argument("data")
@on_error_option
@json_option
@running_options
@click.pass_obj
def index(state: State, /, expression: str, data: str, on_error: OnError, as_json: bool, **settings: Any) -> None:
    """Build every artifact that a pipeline needs on a collection."""
    with running(state, **settings) as context:
        pipeline = context.pipeline(expression)
        dataset = find_dataset(context, data, on_error)
        need = dataset.documents()
        artifacts = build(context, pipeline, need)
        left_out(dataset, open_corpus(context, need))
    if as_json:
        print_json(
            [
                {"address": a.address, "type": a.recipe.type, "component": a.recipe.component,
                 "bytes": a.bytes, "seconds": a.seconds}
                for a in artifacts
            ]
        )  # fmt: skip
        return
    for artifact in artifacts:
        size, seconds = human_bytes(artifact.bytes), f"{artifact.seconds:.1f} s"
        click.echo(
            f"{artifact.address[:12]}  {artifact.recipe.type:<12} {artifact.recipe.component:<32} {size:>10} {seconds:>9}"
        )

"""``spaniel capacity``: what can be returned, what free embeddings can, and what the theorem says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import (
    check_output,
    expression_argument,
    on_error_option,
    running,
    running_options,
    split_option,
)
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table
from spaniel.collections import find_dataset
from spaniel.data import OnError
from spaniel.data.files import write_text


@click.group()
def capacity() -> None:
    """Look at which top-k sets an encoder or a retriever can return, and at what bounds them."""


@capacity.command()
@expression_argument
@click.argument("data")
@click.option("--depth", "depths", type=click.IntRange(1), multiple=True, help="Depth of recall; 2, 10, 20 and 100.")
@click.option(
    "--dimensions", type=click.IntRange(1), multiple=True, help="Leading dimensions to look at, beside all; repeatable."
)
@click.option(
    "--sets",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="Sets that are tried against every query vector there could be; 0 for none.",
)
@click.option(
    "--margin", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True, help="Margin of the bound."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write .png, .json or .txt.")
@split_option
@on_error_option
@json_option
@running_options
@click.pass_obj
def check(
    state: State,
    /,
    expression: str,
    data: str,
    depths: tuple[int, ...],
    dimensions: tuple[int, ...],
    sets: int,
    margin: float,
    output: Path | None,
    split: str | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Diagnose a pipeline on a collection: which of the wanted sets it returns, and which any query could.

    \b
    spaniel capacity check dense limit:small --dimensions 32 --dimensions 128 -o capacity.png
    """
    from spaniel.system import open_task

    from spaniel_limit.diagnosis import DEPTHS, Options, diagnose

    check_output(output)
    if output is not None and output.suffix not in (".png", ".json", ".txt"):
        raise UsageError(f"{output.name!r}: a diagnosis is written as .png, .json or .txt")
    with running(state, **settings) as context:
        pipeline = context.pipeline(expression)
        task = open_task(context, find_dataset(context, data, on_error), split)
        chosen = Options(tuple(sorted(set(depths))) or DEPTHS, dimensions, sets, margin)
        found = diagnose(context, pipeline, task, chosen)
    if output is not None and output.suffix == ".png":
        found.to_png(output)
    elif output is not None:
        with write_text(output) as file:
            file.write(json.dumps(found.to_json(), indent=2) if output.suffix == ".json" else found.to_text())
            file.write("\n")
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(f"wrote {output}" if output is not None else found.to_text())


@capacity.command()
@click.argument("data", required=False)
@click.option(
    "--dimensions",
    "-d",
    type=click.IntRange(1),
    multiple=True,
    help="Dimensions; repeatable. 4, 5, 6 and 8 by default; of DATA those that a search for the fewest comes by.",
)
@click.option("-k", default=2, show_default=True, type=click.IntRange(1), help="Documents of a set.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="First vectors that are tried.")
@click.option(
    "--strategy",
    type=click.Choice(["gallop", "near"]),
    default="near",
    show_default=True,
    help="Step by step from the published number, or growing steps and a binary search.",
)
@click.option("--sweep", is_flag=True, help="Try 4 numbers below and 5 above what was found, too.")
@click.option("--queries", type=click.IntRange(1), help="Of DATA: draw so many of its judged queries.")
@click.option("--updates", type=click.IntRange(1), default=100_000, show_default=True, help="Of a training, at most.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a plot, .png.")
@split_option
@on_error_option
@json_option
@running_options
@click.pass_obj
def curve(
    state: State,
    /,
    data: str | None,
    dimensions: tuple[int, ...],
    k: int,
    seeds: int,
    strategy: Any,
    sweep: bool,
    queries: int | None,
    updates: int,
    output: Path | None,
    split: str | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find, by dimension, of how many documents free embeddings return every set of k; or the dimension that DATA needs.

    Of DATA free embeddings are fitted to its judgments, in ever fewer dimensions until they do not return all sets any more.
    Each training is kept, so a search that was stopped goes on. The first seed is 42 plus --seed.

    \b
    spaniel capacity curve -d 4 -d 5
    spaniel capacity curve my-collection --seeds 3 -o needed.png
    """
    check_output(output)
    if data is not None:
        _refuse({"k": "-k", "strategy": "--strategy", "sweep": "--sweep"}, "is of every set of k, not of DATA")
        options = {"dimensions": tuple(sorted(set(dimensions))), "queries": queries, "max_iter": updates}
        _needed(state, data, split, on_error, seeds, options, output, as_json, settings)
        return
    _refuse({"queries": "--queries", "split": "--split", "on_error": "--on-error"}, "is of DATA, and none is given")
    from spaniel_limit.bounds import PUBLISHED_CRITICAL, fit_cubic
    from spaniel_limit.config import CriticalConfig
    from spaniel_limit.critical import search
    from spaniel_limit.plots import draw_curve

    chosen = sorted(set(dimensions)) or [4, 5, 6, 8]
    found: dict[int, list[Any]] = {}
    with running(state, **settings) as context, context.stage("free embeddings", None, "trainings"):
        for d in chosen:
            found[d] = [
                search(
                    context,
                    CriticalConfig(
                        d=d, k=k, strategy=strategy, sweep=(-4, 5) if sweep else None, seed=42 + settings["seed"] + seed
                    ),
                    max_iter=updates,
                )
                for seed in range(seeds)
            ]
    best = {d: max(one.n for one in several) for d, several in found.items()}
    cubic = fit_cubic(best) if len(best) > 3 else None
    if output is not None:
        draw_curve({d: [one.n for one in several] for d, several in found.items()}, output)
    if as_json:
        told = {
            d: [one._asdict() | {"trials": [t._asdict() for t in one.trials]} for one in f] for d, f in found.items()
        }
        print_json({"k": k, "curve": told, "cubic": cubic and cubic._asdict()})
        return
    rows = [
        [
            str(d),
            ", ".join(str(one.n) for one in several),
            ", ".join(str(one.largest_solved) for one in several),
            str(PUBLISHED_CRITICAL.get(d, "–")) if k == 2 else "–",
            str(sum(len(one.trials) for one in several)),
        ]
        for d, several in found.items()
    ]
    print_table(["dimensions", "documents", "largest solved", "published", "trainings"], rows)
    if cubic is not None:
        terms = " ".join(f"{c:+.4f} d^{power}" for power, c in enumerate(cubic.coefficients))
        click.echo(f"\nfit: n = {terms}, r2 {cubic.r2:.4f}")
    if output is not None:
        click.echo(f"wrote {output}")


def _refuse(options: dict[str, str], reason: str) -> None:
    """Refuse options that were given and mean nothing here."""
    context = click.get_current_context()
    for name, written in options.items():
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(f"{written} {reason}")


def _needed(
    state: State,
    data: str,
    split: str | None,
    on_error: OnError,
    seeds: int,
    options: dict[str, Any],
    output: Path | None,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Find the dimension that the judgments of a collection need."""
    from spaniel.system import open_task

    from spaniel_limit.config import NeededConfig
    from spaniel_limit.diagnosis import wanted_sets
    from spaniel_limit.needed import search_dimension
    from spaniel_limit.plots import draw_needed
    from spaniel_limit.report import report_needed

    numbers = [42 + settings["seed"] + at for at in range(seeds)]
    with running(state, **settings) as context:
        task = open_task(context, find_dataset(context, data, on_error), split)
        wanted, _ = wanted_sets(task)
        n = len(task.corpus)
        with context.stage("free embeddings", None, "trainings"):
            found = [search_dimension(context, wanted, n, NeededConfig(seed=seed, **options)) for seed in numbers]
    if output is not None:
        draw_needed(found, task.dataset.name, output)
    if as_json:
        told = {seed: one.to_json() for seed, one in zip(numbers, found, strict=True)}
        print_json({"collection": task.dataset.name, "queries": wanted.queries, "documents": n, "seeds": told})
        return
    click.echo(report_needed(found, task.dataset.name, wanted.queries, n))
    if output is not None:
        click.echo(f"wrote {output}")


@capacity.command()
@click.argument("documents", type=click.IntRange(1))
@click.argument("k", type=click.IntRange(1))
@click.option(
    "--margin", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True, help="Of unit vectors."
)
@click.option("--dimensions", "-d", type=click.IntRange(1), help="Say what margin these leave, too.")
@json_option
def bound(documents: int, k: int, margin: float, dimensions: int | None, as_json: bool) -> None:
    """Say how many dimensions unit vectors take at the least to return every set of K among DOCUMENTS with a margin."""
    from spaniel_limit.bounds import largest_margin, least_dimension

    least = least_dimension(documents, k, margin)
    left = None if dimensions is None or documents == k else largest_margin(documents, k, dimensions)
    if as_json:
        print_json({"documents": documents, "k": k, "margin": margin, "dimensions": least, "largest_margin": left})
        return
    click.echo(f"{least:,} dimensions or more, for every set of {k} among {documents:,} documents, margin {margin:g}")
    if left is not None:
        click.echo(f"with {dimensions} dimensions their margin is at most {left:.4g}")


@capacity.command()
@click.argument("data")
@split_option
@on_error_option
@json_option
@running_options
@click.pass_obj
def graph(state: State, /, data: str, split: str | None, on_error: OnError, as_json: bool, **settings: Any) -> None:
    """Measure how entangled a collection's judgments are: the graph of queries that share relevant documents."""
    from spaniel.collections import choose_split

    from spaniel_limit.graph import qrel_graph

    with running(state, **settings) as context:
        dataset = find_dataset(context, data, on_error)
        found = qrel_graph(dataset.qrels(choose_split(dataset, split)))
    if as_json:
        print_json(found._asdict())
        return
    click.echo(
        f"{found.queries:,} queries, {found.edges:,} pairs that share a relevant document\n"
        f"density {found.density:.6f}, mean strength {found.strength:.4f}"
    )

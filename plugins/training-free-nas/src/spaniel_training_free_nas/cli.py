"""``spaniel nas-bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from spaniel.cli.common import check_output, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table
from spaniel.data.files import write_text

FOLDER = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
_ALL = 500


@click.group()
def nas_bench() -> None:
    """Recompute a published benchmark of training-free proxies, or run other proxies on it.

    FOLDER is the folder `data` of the repository aaronserianni/training-free-nas: 500 trained encoders with GLUE scores,
    and recurrent networks with losses. The trained encoders seem to differ in size alone, whatever operations they
    declare, so that a proxy is compared on them by how well it sees depth, width and the feed-forward parts.
    """


@nas_bench.command()
@FOLDER
@click.option(
    "--resamples", type=click.IntRange(0), default=1000, show_default=True, help="Resamples of the intervals."
)
@json_option
def tables(folder: Path, resamples: int, as_json: bool) -> None:
    """Recompute the published tables, with sizes beside them and within each depth."""
    from spaniel_search.correlation import correlation_table

    from spaniel_training_free_nas import bench
    from spaniel_training_free_nas.report import cell_correlations, encoder_correlations, selections

    encoders = bench.read_encoders(folder)
    found = encoder_correlations(folder, encoders, resamples)
    effects = bench.operation_effects(encoders)
    chosen = selections(folder, encoders)
    recurrent = cell_correlations(folder, resamples)
    if as_json:
        print_json(
            {
                "encoders": [one.to_json() for one in found],
                "effects": [{"term": name, "effect": effect, "t": t} for name, effect, t in effects],
                "top 10": dict(chosen),
                "cells": [one.to_json() for one in recurrent],
            }
        )
        return
    click.echo(f"{len(encoders.glue)} encoders: proxies as published, and mean GLUE")
    head, *lines = correlation_table(found)
    print_table(head, lines)
    click.echo("\nleast-squares fit of GLUE, effects in points")
    print_table(["term", "effect", "t"], [[name, f"{effect:+.2f}", f"{t:+.1f}"] for name, effect, t in effects])
    click.echo("\nmean GLUE of the best 10 by")
    print_table(["criterion", "GLUE"], [[name, f"{glue:.2f}"] for name, glue in chosen])
    click.echo(f"\n{recurrent[0].n:,} recurrent networks: proxies as published, and minus the test loss")
    head, *lines = correlation_table(recurrent)
    print_table(head, lines)


@nas_bench.command()
@FOLDER
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    required=True,
    metavar="EXPRESSION",
    help="Proxy, with its options; repeatable.",
)
@click.option(
    "--space",
    default="flexibert",
    show_default=True,
    help="How candidates are built and run, as in flexibert(compat=reference).",
)
@click.option(
    "-n", "count", type=click.IntRange(3, _ALL), default=_ALL, show_default=True, help="How many, the first ones."
)
@click.option(
    "--resamples", type=click.IntRange(0), default=1000, show_default=True, help="Resamples of the intervals."
)
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Seeds of fresh weights: --seed and those after it.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the scores as a table (.csv).")
@json_option
@running_options
@click.pass_obj
def score(
    state: State,
    /,
    folder: Path,
    proxies: tuple[str, ...],
    space: str,
    count: int,
    resamples: int,
    seeds: int,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Run proxies on the encoders of the benchmark, and show how well they rank them, with sizes beside them.

    Scores are kept in the store: what was scored before an interruption is not scored again. With several seeds there is a
    table for each, and the spread of the rank correlation over them.
    """
    from spaniel_search.correlation import Correlation, correlation_table

    from spaniel_training_free_nas import bench
    from spaniel_training_free_nas.report import scored_correlations, spread_over_seeds
    from spaniel_training_free_nas.scoring import scores_of

    check_output(out)
    encoders = bench.read_encoders(folder)
    with running(state, **settings) as context:
        found: dict[int, list[Correlation]] = {}
        columns: dict[str, Any] = {"glue": encoders.glue[:count], "layers": encoders.depth[:count]}
        for seed in range(context.seed, context.seed + seeds):
            session = context if seed == context.seed else context.reseeded(seed)
            scores = scores_of(session, space, encoders.candidates[:count], proxies)
            made = session.create("search_space", space)
            found[seed] = scored_correlations(encoders, scores, made, resamples)
            columns |= {name if seeds == 1 else f"{name} seed {seed}": values for name, values in scores.items()}
    if out is not None:
        rows = [[f"{value:.10g}" for value in row] for row in zip(*columns.values(), strict=True)]
        heads = [f'"{name}"' if "," in name else name for name in columns]
        with write_text(out) as file:
            file.write("\n".join(",".join(row) for row in [heads, *rows]) + "\n")
    if as_json:
        print_json([{"seed": seed, **one.to_json()} for seed, several in found.items() for one in several])
        return
    for seed, several in found.items():
        if seeds > 1:
            click.echo(f"seed {seed}")
        head, *lines = correlation_table(several)
        print_table(head, lines)
    if seeds > 1:
        click.echo(f"\nKendall's tau-b over {seeds} seeds, mean ± half the range")
        print_table(["proxy", "stratum", "tau"], spread_over_seeds(list(found.values())))
    if out is not None:
        click.echo(f"wrote {out}")

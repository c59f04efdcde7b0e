"""``spaniel reproduce``."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

import click

from spaniel.cli.common import running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table
from spaniel.context import blame
from spaniel.declare import Experiment
from spaniel.errors import PluginError, UsageError
from spaniel.reproduction import Reproduction


@click.command()
@click.argument("slug", required=False)
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Size of the check; 1 is what two cores carry.",
)
@click.option("--collection", help="Name or folder of the collection to run on; by default the check's own.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="How many seeds to run.")
@json_option
@running_options
@click.pass_obj
def reproduce(
    state: State,
    /,
    slug: str | None,
    scale: float,
    collection: str | None,
    seeds: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Run a plugin's headline check and print the paper's claim beside what was measured here.

    Without SLUG, list the checks that the installed plugins offer.
    """
    known = {e.slug: (distribution, e) for distribution, e in state.registry.experiments()}
    if slug is None:
        _list(known, as_json)
        return
    if slug not in known:
        near = difflib.get_close_matches(slug, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no plugin offers a check {slug!r}; {hint}there are: {', '.join(known) or 'none'}")
    distribution, experiment = known[slug]
    if collection is not None and not experiment.collection:
        raise UsageError(f"the check {slug!r} runs on no collection; leave --collection away")
    chosen = collection or experiment.collection
    with running(state, **settings) as context, blame(distribution, f"experiment `{slug}`"):
        try:
            module, _, name = experiment.run.partition(":")
            run = getattr(import_module(module), name)
            more = {"collection": chosen} if chosen else {}
            result = run(context, scale, [settings["seed"] + i for i in range(seeds)], **more)
        except ModuleNotFoundError as error:
            if not experiment.extra:
                raise
            needs = f'pip install "{distribution}[{experiment.extra}]"'
            raise UsageError(f"the check {slug!r} needs more ({error}): {needs}") from error
    if not isinstance(result, Reproduction):
        raise PluginError(distribution, f"experiment `{slug}` returned {type(result).__name__}, not a Reproduction")
    if as_json:
        head = {"slug": slug, "claim": experiment.claim, "paper": experiment.paper, "collection": chosen or None}
        print_json({**head, **result.to_json()})
        return
    click.echo(f"{experiment.paper}\n{experiment.claim}\n" + (f"on {chosen}\n" if chosen else ""))
    marks = {True: "holds", False: "does not hold here", None: "cannot be said here"}
    for finding in result.findings:
        click.echo(f"  {finding.claim}")
        unit = f" {finding.unit}" if finding.unit else ""
        click.echo(f"    paper     {finding.published}")
        click.echo(f"    measured  {finding.mean:.4g} ± {finding.spread:.2g}{unit} over {len(finding.measured)} seeds")
        click.echo(f"    {marks[finding.holds]}" + (f": {finding.note}" if finding.note else ""))
    click.echo(f"\nscale {result.scale:g}, seeds {', '.join(map(str, result.seeds))}")


def _list(known: dict[str, tuple[str, Experiment]], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"slug": e.slug, "distribution": d, "claim": e.claim, "minutes": e.minutes, "collection": e.collection}
                for d, e in known.values()
            ]
        )
        return
    if not known:
        click.echo("no installed plugin offers a check")
        return
    rows = [[e.slug, distribution, f"{e.minutes:g} min", e.claim] for distribution, e in known.values()]
    print_table(["check", "distribution", "about", "claim"], rows)

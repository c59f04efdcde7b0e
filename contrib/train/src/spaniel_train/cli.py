"""``spaniel train``, ``spaniel synthesize`` and ``spaniel adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import check_output, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_report

_OUT = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("recipe", type=_FILE, metavar="RECIPE.yaml")
@click.option(
    "-o", "--output", "out", type=_OUT, help="Folder of the model; by default the recipe's name without .yaml."
)
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped.")
@click.option("--again", is_flag=True, help="Throw away a training that was stopped.")
@click.option("--check", is_flag=True, help="Check the recipe alone.")
@click.option("--seed", type=click.IntRange(0), help="In place of the recipe's.")
@click.option("--device", default="auto", show_default=True, help="Where the model runs: auto, cpu, cuda, cuda:1, mps.")
@click.option("--offline", is_flag=True, help="Never reach the network.")
@json_option
@click.pass_obj
def train(
    state: State,
    /,
    recipe: Path,
    out: Path | None,
    resume: bool,
    again: bool,
    check: bool,
    seed: int | None,
    device: str,
    offline: bool,
    as_json: bool,
) -> None:
    """Train a model by RECIPE.yaml, and write a folder that sentence-transformers loads, with a report beside it."""
    from spaniel_train.reading import check_recipe, read_recipe

    out = (out or recipe.with_suffix("")).absolute()
    said, faults = read_recipe(recipe)
    chosen = said.seed if seed is None else seed
    with running(state, device=device, seed=chosen, batch_size=None, offline=offline, trace=None) as context:
        check_recipe(context, said, faults)
        if check:
            click.echo(f"{recipe} has no faults")
            return
        if resume and again:
            raise UsageError("--resume goes on with a stopped training and --again throws it away: give one of them")
        _check_free(out)
        from spaniel_train.training import Training

        training = Training(context, said, out)
        report = training.run(resume, again)
    if training.team.rank:
        return  # of several processes the first one tells
    if as_json:
        print_json(report)
        return
    first, last = report["losses"][0]["loss"], report["losses"][-1]["loss"]
    rows = sum(report["data"].values())
    click.echo(
        f"{report['steps']} steps over {rows:,} rows in {report['seconds']:.1f} s, loss {first:.4f} → {last:.4f}"
    )
    click.echo(
        f"  {report['ms_per_step']:.1f} ms a step, of them the optimizer {report['optimizer_ms_per_step']:.1f} ms"
    )
    for one in report["optimizers"]:
        click.echo(f"  {one['optimizer']}: {one['parameters']:,} parameters, {one['state_bytes']:,} bytes of state")
    for step, value in report["evaluations"].items():
        mark = f"  ← kept ({report['kept']})" if report["kept"] == "best" and int(step) == report["best_step"] else ""
        click.echo(f"  step {step:>6}  {report['measure']} {value:.4f}{mark}")
    click.echo(f"wrote {out} and {out.name}.json beside it")


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("data", metavar="DATA|ROWS.jsonl")
@click.option("-o", "--output", "out", type=_OUT, required=True, help="File of training rows to write.")
@click.option("--split", help="Split of the collection; its judgments are what some methods work on.")
@click.option("--resume", is_flag=True, help="Go on with a file that was not finished.")
@click.option("--again", is_flag=True, help="Throw away what was not finished.")
@json_option
@running_options
@click.pass_obj
def synthesize(
    state: State,
    /,
    method: str,
    data: str,
    out: Path,
    split: str | None,
    resume: bool,
    again: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Make training rows by METHOD, an expression such as "negatives(retriever=bm25(k=100))", of a collection or of rows."""
    from spaniel_train.streaming import stream_rows

    out = out.absolute()
    check_output(out)
    _check_free(out)
    with running(state, **settings) as context:
        report = stream_rows(context, method, data, split, out, resume, again)
    if as_json:
        print_json(report)
        return
    click.echo(f"wrote {report['rows']:,} rows of {report['units']:,} to {out} and {out.name}.json beside it")
    for name, value in {**report["counts"], **report["summary"]}.items():
        click.echo(f"  {name}: {value:,.4g}" if isinstance(value, float) else f"  {name}: {value}")


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", "out", type=_OUT, required=True, help="Folder of the model that comes out.")
@json_option
@running_options
@click.pass_obj
def adapt(state: State, /, method: str, model: str, out: Path, as_json: bool, **settings: Any) -> None:
    """Change MODEL (a folder or a name) by METHOD, an expression such as "average(models=['other'])"."""
    from spaniel_train.surgery import adapt_model

    out = out.absolute()
    check_output(out)
    _check_free(out)
    with running(state, **settings) as context:
        report = adapt_model(context, method, model, out)
    if as_json:
        print_json(report)
        return
    click.echo(f"wrote {out} and {out.name}.json beside it")
    print_report(report["report"])


def _check_free(out: Path) -> None:
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent} to write {out.name} into")
    for path in (out, out.with_name(f"{out.name}.json")):
        if path.exists():
            raise UsageError(f"{path} is there already; remove it or write to another place")

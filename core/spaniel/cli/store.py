"""``spaniel store``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from spaniel.cli.output import json_option, print_json
from spaniel.errors import ArtifactError
from spaniel.evaluation.table import human_bytes
from spaniel.store import Artifact, Entry, Store, default_root

_ORDERS: dict[str, Callable[[Entry], Any]] = {
    "age": lambda entry: -entry.modified,
    "size": lambda entry: -entry.bytes,
    "address": lambda entry: entry.address,
}
_AGES = (("y", 31_557_600), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SHORT = 12


@click.group()
@click.pass_context
def store(ctx: click.Context) -> None:
    """List, verify, move and remove what was built.

    An ADDRESS may be shortened to any beginning that only one artifact has.
    """
    ctx.obj = Store(getattr(ctx.obj, "store", None) or default_root())


@store.command(name="list")
@click.option(
    "--sort", type=click.Choice(list(_ORDERS)), default="age", show_default=True, help="Newest or largest first."
)
@json_option
@click.pass_obj
def list_(opened: Store, sort: str, as_json: bool) -> None:
    """List artifacts, damaged ones and unfinished builds."""
    entries = sorted(opened.list(), key=_ORDERS[sort])
    if as_json:
        beside = [
            {"state": "remembered", "address": n, "bytes": b, "fault": ""} for n, b in opened.remembered().items()
        ]
        print_json([_describe(entry) for entry in entries] + beside)
        return
    rows = [("address", "type", "component", "version", "size", "age")]
    for entry in entries:
        recipe = entry.artifact.recipe if entry.artifact else None
        what = (recipe.type, recipe.component, recipe.version) if recipe else (_state(entry), "", "")
        rows.append((entry.address[:_SHORT], *what, human_bytes(entry.bytes), _age(entry.modified)))
    if entries:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                cell.rjust(w) if i > 3 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            click.echo("  ".join(cells).rstrip())
    for entry in entries:
        if entry.fault:
            click.secho(entry.fault, fg="red", err=True)
    click.echo(f"{len(entries)} in {opened.root}, {human_bytes(sum(entry.bytes for entry in entries))}")
    remembered = opened.remembered()
    if remembered:
        listed = ", ".join(f"{name} {human_bytes(size)}" for name, size in remembered.items())
        click.echo(f"beside them, made again where they are removed: {listed}")
        click.echo("`spaniel store remove NAME` removes one of them")


@store.command()
@click.argument("address")
@json_option
@click.pass_obj
def show(opened: Store, address: str, as_json: bool) -> None:
    """Show the recipe, the files and the notes of an artifact, verified."""
    artifact = opened.open(opened.resolve(address))
    if as_json:
        print_json({"path": str(artifact.path), "files": _files(artifact), **_facts(artifact)})
        return
    recipe = artifact.recipe
    facts = {
        "address": artifact.address,
        "path": artifact.path,
        "type": recipe.type,
        "component": f"{recipe.component} {recipe.version}",
        "seed": recipe.seed,
        "size": human_bytes(artifact.bytes),
        "built in": f"{artifact.seconds:.1f} s",
    }
    for title, values in (("config", recipe.config), ("inputs", recipe.inputs), ("info", artifact.info)):
        facts |= {f"{title} {name}": value for name, value in values.items()}
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {value}")
    for name, entry in artifact.files.items():
        click.echo(f"{human_bytes(entry.bytes):>10}  {entry.sha256[:_SHORT]}  {name}")


@store.command()
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--all", "every", is_flag=True, help="Verify every artifact.")
@json_option
@click.pass_obj
def verify(opened: Store, addresses: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Read every byte of artifacts and name what is damaged; the exit code is 1 if something is.

    The numbers of what was not built here are looked through as well.
    """
    if every == bool(addresses):
        raise click.UsageError("name artifacts, or give --all")
    chosen = {opened.resolve(address) for address in addresses}
    entries = [entry for entry in opened.list() if not entry.unfinished and (every or entry.address in chosen)]
    found = _verify(opened, entries)
    if as_json:
        print_json([{"address": address, "faults": faults} for address, faults in found.items()])
    else:
        for address, faults in found.items():
            click.echo(f"{address[:_SHORT]}  {click.style('damaged', fg='red') if faults else 'whole'}")
            for fault in faults:
                click.echo(f"  {fault}")
    if any(found.values()):
        raise click.exceptions.Exit(1)


@store.command(name="export")
@click.argument("address")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def export(opened: Store, address: str, file: Path) -> None:
    """Write an artifact to FILE (tar), for the store of another machine."""
    opened.export(opened.resolve(address), file)
    click.echo(f"wrote {file}, {human_bytes(file.stat().st_size)}")


@store.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trust", is_flag=True, help="Do not look through what it holds: you know who made it.")
@click.pass_obj
def import_(opened: Store, file: Path, trust: bool) -> None:
    """Take an artifact from FILE; it appears verified and whole, or not at all.

    Its digests are verified, and its numbers are looked through where the component that made it is installed.
    """
    from spaniel.context import Context
    from spaniel.indexing import check_artifact

    before = {entry.address for entry in opened.list() if not entry.unfinished}
    artifact = opened.import_(file, lambda found: check_artifact(Context(opened), found), trust)
    recipe = artifact.recipe
    was_there = "  (was there already)" if artifact.address in before else ""
    click.echo(f"{artifact.address[:_SHORT]}  {recipe.type} {recipe.component} {recipe.version}{was_there}")


@store.command()
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS|NAME...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(opened: Store, addresses: tuple[str, ...], yes: bool) -> None:
    """Remove artifacts, whole, damaged or unfinished, and by its NAME what `store list` shows beside them."""
    remembered = opened.remembered()
    names = sorted(set(addresses) & remembered.keys())
    chosen = {opened.resolve(address) for address in addresses if address not in remembered}
    entries = [entry for entry in opened.list() if entry.address in chosen]
    for entry in entries:
        what = f"{entry.artifact.recipe.type} {entry.artifact.recipe.component}" if entry.artifact else _state(entry)
        click.echo(f"{entry.address[:_SHORT]}  {what}, {human_bytes(entry.bytes)}", err=True)
    for name in names:
        click.echo(f"{name}  made again when it is needed, {human_bytes(remembered[name])}", err=True)
    if not yes:
        click.confirm("remove?", abort=True, err=True)
    for address in sorted(chosen):
        opened.remove(address)
        click.echo(f"removed {address[:_SHORT]}")
    for name in names:
        opened.forget(name)
        click.echo(f"removed {name}")


def _verify(opened: Store, entries: Sequence[Entry]) -> dict[str, list[str]]:
    from tqdm import tqdm

    total = sum(entry.bytes for entry in entries)
    hidden = not sys.stderr.isatty()
    found = {}
    with tqdm(total=total, unit="B", unit_scale=True, desc="verifying", leave=False, delay=1.0, disable=hidden) as bar:

        def advance(size: int) -> None:
            bar.update(size)

        for entry in entries:
            # What lies among the artifacts and is none was found when it was listed.
            faults = [entry.fault] if entry.fault else [str(fault) for fault in opened.verify(entry.address, advance)]
            found[entry.address] = faults or _look_through(opened, entry.address)
    return found


def _look_through(opened: Store, address: str) -> list[str]:
    """Return what is wrong with the numbers of an artifact that came from elsewhere."""
    from spaniel.context import Context
    from spaniel.indexing import check_artifact

    artifact = opened.open(address)
    if not opened.is_own(artifact):
        try:
            check_artifact(Context(opened), artifact)
        except ArtifactError as error:
            return [str(error)]
    return []


def _describe(entry: Entry) -> dict[str, Any]:
    told = {"state": _state(entry), "address": entry.address, "bytes": entry.bytes, "modified": entry.modified}
    return {**told, "fault": entry.fault, **(_facts(entry.artifact) if entry.artifact else {})}


def _facts(artifact: Artifact) -> dict[str, Any]:
    return {
        "address": artifact.address,
        "bytes": artifact.bytes,
        "seconds": artifact.seconds,
        "recipe": artifact.recipe.to_json(),
        "info": dict(artifact.info),
    }


def _files(artifact: Artifact) -> dict[str, Any]:
    return {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in artifact.files.items()}


def _state(entry: Entry) -> str:
    return "unfinished" if entry.unfinished else "damaged" if entry.artifact is None else "whole"


def _age(modified: float) -> str:
    seconds = max(0.0, time.time() - modified)
    unit, size = next(((unit, size) for unit, size in _AGES if seconds >= size), _AGES[-1])
    return f"{seconds // size:.0f} {unit}"

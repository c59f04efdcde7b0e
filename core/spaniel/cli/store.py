"""``spaniel store``."""

from __future__ import annotations

from pathlib import Path

import click

from spaniel.cli.common import json_option, print_json
from spaniel.cli.main import State
from spaniel.evaluation.table import human_bytes
from spaniel.store import Store, default_root
from spaniel.store.transfer import export_artifact, import_artifact


def _store(state: State) -> Store:
    return Store(state.store or default_root())


@click.group()
def store() -> None:
    """List, verify, move and remove what was built."""


@store.command(name="list")
@click.option("--sort", type=click.Choice(["address", "size", "type"]), default="address", show_default=True, help="Order.")
@json_option
@click.pass_obj
def list_(state: State, sort: str, as_json: bool) -> None:
    """List every artifact."""
    entries = list(_store(state).list())
    order = {
        "address": lambda e: e.address,
        "size": lambda e: -(e.artifact.bytes if e.artifact else 0),
        "type": lambda e: (e.artifact.recipe.type if e.artifact else "", e.address),
    }
    entries.sort(key=order[sort])  # type: ignore[arg-type]
    if as_json:
        print_json(
            [
                {"address": e.address, "fault": e.fault}
                if e.artifact is None
                else {"address": e.address, "bytes": e.artifact.bytes, "seconds": e.artifact.seconds,
                      "recipe": e.artifact.recipe.to_json(), "info": dict(e.artifact.info)}
                for e in entries
            ]
        )  # fmt: skip
        return
    for e in entries:
        if e.artifact is None:
            click.echo(f"{e.address[:12]}  {click.style('damaged', fg='red')}  {e.fault}")
        else:
            r = e.artifact.recipe
            click.echo(f"{e.address[:12]}  {r.type:<8} {r.component:<34} {r.version:<8} {human_bytes(e.artifact.bytes):>10}")
    total = sum(e.artifact.bytes for e in entries if e.artifact)
    click.echo(f"{len(entries)} artifacts, {human_bytes(total)}, in {_store(state).root}")


@store.command()
@click.argument("address")
@click.pass_obj
def show(state: State, address: str) -> None:
    """Show the recipe, the files and the notes of an artifact."""
    opened = _store(state)
    artifact = opened.open(opened.resolve(address))
    files = {name: {"bytes": e.bytes, "sha256": e.sha256} for name, e in artifact.files.items()}
    print_json(
        {"address": artifact.address, "path": str(artifact.path), "recipe": artifact.recipe.to_json(),
         "info": dict(artifact.info), "seconds": artifact.seconds, "files": files}
    )  # fmt: skip


@store.command()
@click.argument("addresses", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Verify every artifact.")
@json_option
@click.pass_obj
def verify(state: State, addresses: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Read every byte of artifacts and name what is damaged; exit code 1 if something is."""
    opened = _store(state)
    chosen = [e.address for e in opened.list()] if every else [opened.resolve(a) for a in addresses]
    if not chosen and not every:
        raise click.UsageError("name artifacts, or give --all")
    found: dict[str, list[str]] = {}
    with click.progressbar(chosen, label="verifying", hidden=len(chosen) < 2 or as_json) as bar:
        for address in bar:
            found[address] = [str(fault) for fault in opened.verify(address)]
    if as_json:
        print_json(found)
    else:
        for address, faults in found.items():
            click.echo(f"{address[:12]}  {'ok' if not faults else click.style('damaged', fg='red')}")
            for fault in faults:
                click.echo(f"  {fault}")
    if any(found.values()):
        raise click.exceptions.Exit(1)


@store.command(name="export")
@click.argument("address")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def export(state: State, address: str, file: Path) -> None:
    """Write an artifact to FILE (tar), for another machine's store."""
    opened = _store(state)
    export_artifact(opened, opened.resolve(address), file)
    click.echo(f"wrote {file}, {human_bytes(file.stat().st_size)}")


@store.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_(state: State, file: Path) -> None:
    """Take an artifact from FILE, verified before it appears."""
    artifact = import_artifact(_store(state), file)
    click.echo(f"{artifact.address[:12]}  {artifact.recipe.type} {artifact.recipe.component}")


@store.command()
@click.argument("addresses", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(state: State, addresses: tuple[str, ...], yes: bool) -> None:
    """Remove artifacts, whole or damaged."""
    opened = _store(state)
    chosen = [opened.resolve(address) for address in addresses]
    if not yes:
        click.confirm(f"remove {', '.join(a[:12] for a in chosen)}?", abort=True)
    for address in chosen:
        opened.remove(address)
        click.echo(f"removed {address[:12]}")

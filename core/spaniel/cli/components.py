"""``spaniel components``."""

from __future__ import annotations

import click

from spaniel.cli.main import State
from spaniel.errors import UsageError


@click.command()
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_obj
def components(state: State, kind: str | None, as_json: bool) -> None:
    """List the components of every kind, or of one KIND."""
    registry = state.registry
    if kind is not None and kind not in registry.kinds:
        raise UsageError(f"there is no kind {kind!r}; there are {', '.join(registry.kinds)}")
    found = registry.components(kind)
    if as_json:
        import json

        click.echo(
            json.dumps(
                [
                    {"kind": r.kind, "name": r.name, "distribution": r.distribution, "version": r.version,
                     "summary": r.component.summary, "paper": r.component.paper}
                    for r in found
                ],
                ensure_ascii=False, indent=2,
            )
        )  # fmt: skip
        return
    width = max((len(r.name) for r in found), default=0)
    home = max((len(r.distribution) for r in found), default=0)
    last = None
    for r in found:
        if r.kind != last:
            last = r.kind
            click.echo(click.style(f"{r.kind}", bold=True) + f"  {registry.kinds[r.kind].summary}")
        click.echo(f"  {r.name:<{width}}  {r.distribution:<{home}}  {r.component.summary}")
    if not found:
        click.echo("no component is installed")

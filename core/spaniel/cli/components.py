"""``spaniel components``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, table
from spaniel.errors import UsageError

if TYPE_CHECKING:
    from spaniel.plugins import Registered


@click.command()
@click.argument("kind", required=False)
@json_option
@click.pass_obj
def components(state: State, kind: str | None, as_json: bool) -> None:
    """List what the installed plugins offer; with KIND, only the components of this kind."""
    registry = state.registry
    if kind is not None and kind not in registry.kinds:
        from difflib import get_close_matches

        near = get_close_matches(kind, registry.kinds, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no kind {kind!r}; {hint}there are: {', '.join(registry.kinds)}")
    found = registry.components(kind)
    if as_json:
        print_json([describe(registered) for registered in found])
        return
    rows = table([(r.name, r.distribution, r.component.summary) for r in found])
    last = None
    for registered, row in zip(found, rows, strict=True):
        if registered.kind != last:
            click.echo(("" if last is None else "\n") + f"{registered.kind}: {registry.kinds[registered.kind].summary}")
            last = registered.kind
        click.echo(f"  {row}")
    if not found:
        click.echo("no installed plugin offers one", err=True)


def describe(registered: Registered) -> dict[str, Any]:
    """Return a component as plain data."""
    component = registered.component
    return {
        "kind": registered.kind,
        "name": registered.name,
        "full_name": registered.full_name,
        "distribution": registered.distribution,
        "version": registered.version,
        **{field: getattr(component, field) for field in ("summary", "paper", "role", "follows", "extra")},
        "takes": list(component.takes),
        "gives": list(component.gives),
        "options": dict(component.options),
        "config": component.config,
        "factory": component.factory,
    }

"""What ``spaniel plugins check`` found, for readers and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from spaniel.cli.output import table

if TYPE_CHECKING:
    from spaniel.plugins.check import Checked, Promised
    from spaniel.plugins.discovery import Found
    from spaniel.plugins.faults import Fault


def identity(found: Found) -> dict[str, Any]:
    """Return what tells a plugin from others."""
    return {"name": found.name, "distribution": found.distribution, "version": found.version}


def plain_faults(faults: Iterable[Fault]) -> list[dict[str, str]]:
    """Return faults as plain data."""
    return [{"stage": f.stage, "reason": f.reason, "traceback": f.traceback} for f in faults]


def describe_checked(one: Checked, contract: bool) -> dict[str, Any]:
    """Return what was found of a plugin as plain data; ``contract`` is null where it was not run."""
    promises = [promised._asdict() for promised in one.contract]
    return {
        **identity(one.found),
        "ok": one.is_ok,
        "seconds": one.seconds,
        "components": list(one.components),
        "faults": plain_faults(one.faults),
        "notes": list(one.notes),
        "contract": promises if contract else None,
    }


def show_checked(checked: Sequence[Checked], contract: bool) -> None:
    """Print what was found of each plugin, and what was not looked at."""
    seconds = ["-" if one.seconds is None else f"{one.seconds * 1000:.0f} ms" for one in checked]
    good = "ok" if contract else "loads"
    rows = [
        (one.found.name, one.found.distribution, one.found.version, good if one.is_ok else "fault", took)
        for one, took in zip(checked, seconds, strict=True)
    ]
    lines = table([("plugin", "distribution", "version", "result", "import"), *rows])
    click.echo(lines[0])
    for line, one in zip(lines[1:], checked, strict=True):
        click.echo(line)
        for text in (*(f"{fault.stage}: {fault.reason}" for fault in one.faults), *one.notes):
            click.echo(f"    {text}")
        for component in one.components if contract else ():
            _show_promises(component, [promised for promised in one.contract if promised.component == component])
    components = sum(len(one.components) for one in checked)
    if components and not contract:
        click.echo(f"not run: the contract of {components} component{'s' if components > 1 else ''}; add --contract")


def _show_promises(component: str, promises: Sequence[Promised]) -> None:
    reasons: dict[tuple[str, str], list[str]] = {}
    for promised in promises:
        reasons.setdefault((promised.result, promised.reason.strip().partition("\n")[0]), []).append(promised.promise)
    kept = len(reasons.pop(("kept", ""), ()))
    run = sum(promised.result != "not run" for promised in promises)
    click.echo(
        f"    {component}: {kept} of {run} promises kept{'' if run == len(promises) else f', {len(promises) - run} not run'}"
    )
    for (result, reason), named in reasons.items():
        what = ", ".join(named) if len(named) < len(promises) else "all"
        click.echo(f"      {result}: {what}: {reason}")

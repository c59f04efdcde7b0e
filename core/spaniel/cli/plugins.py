"""``spaniel plugins``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from spaniel.cli.checked import describe_checked, identity, plain_faults, show_checked
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table, table
from spaniel.errors import UsageError
from spaniel.plugins.discovery import CORE, Found, canonical, find_entry_points

if TYPE_CHECKING:
    from spaniel.plugins import Fault, PluginStatus, Registry

_PIP = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.group()
def plugins() -> None:
    """List, check, write, install and disable plugins."""


@plugins.command("list")
@json_option
@click.pass_obj
def list_(state: State, as_json: bool) -> None:
    """List every plugin that is installed, with what it offers and what is wrong with it."""
    from spaniel.plugins.verify import verify

    registry = _load(state)
    found = [(status, verify(registry, status)) for status in registry.plugins()]
    if as_json:
        print_json([_describe(status, faults) for status, faults in found])
        return
    rows = [(s.name, s.distribution, s.version, _state(s, faults), _offers(s)) for s, faults in found]
    lines = table([("plugin", "distribution", "version", "state", "offers"), *rows])
    click.echo(lines[0])
    for line, (_, faults) in zip(lines[1:], found, strict=True):
        click.echo(line)
        for fault in faults:
            click.echo(f"    {fault.stage}: {fault.reason}")


@plugins.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(state: State, name: str, as_json: bool) -> None:
    """Show all that is known of a plugin, with the tracebacks of its faults. NAME is its own or its distribution's."""
    from spaniel.plugins.verify import verify

    registry = _load(state)
    chosen = {found.key for found in _named([status.found for status in registry.plugins()], [name])}
    found = [(s, verify(registry, s)) for s in registry.plugins() if s.found.key in chosen]
    if as_json:
        print_json([_describe(status, faults) for status, faults in found])
        return
    for status, faults in found:
        _show(status, faults)


@plugins.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--time-limit",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds for each plugin, and for each promise; the process of one that takes longer is killed.",
)
@click.option(
    "--contract", is_flag=True, help="Hold every component to all promises of its kind, with its default options."
)
@json_option
@click.pass_context
def check(context: click.Context, names: Sequence[str], time_limit: float, contract: bool, as_json: bool) -> None:
    """Import everything that plugins name, each in a process of its own, and hold it against the rules for plugins.

    Without a NAME, all plugins that are not switched off. What the components do is checked with --contract, which
    makes and runs them; without it, a plugin without faults is said to load. The exit code is 1 where a plugin has a
    fault or breaks a promise.
    """
    from spaniel.plugins.check import check as examine
    from spaniel.plugins.discovery import file_plugin
    from spaniel.plugins.loading import switched_off

    files = context.obj.files
    every = [*find_entry_points(), *map(file_plugin, files)]
    off = switched_off(every)
    chosen = _named(every, names) if names else [f for f in every if f not in off]
    checked = examine(chosen, time_limit, files, contract)
    if as_json:
        print_json([describe_checked(one, contract) for one in checked])
    else:
        show_checked(checked, contract)
    if not all(one.is_ok for one in checked):
        context.exit(1)


@plugins.command()
@click.argument("name")
@click.option("--kind", required=True, help="What it offers: encode, index, retrieve, rerank, search_space or explain.")
@click.option(
    "-o", "--output", default=".", show_default=True, type=click.Path(file_okay=False), help="Where to put it."
)
@click.pass_obj
def new(state: State, name: str, kind: str, output: str) -> None:
    """Write a plugin that installs, passes its tests and shows up in `spaniel components`.

    NAME is the name of its component, such as word-overlap.
    """
    from pathlib import Path

    from spaniel.plugins.scaffold import check_free, write_plugin

    check_free(_load(state), name, kind)
    folder = write_plugin(name, kind, Path(output))
    click.echo(f"{folder} is ready:\n  pip install -e {folder}\n  pytest {folder}\n  spaniel components {kind}")


@plugins.command(context_settings=_PIP)
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED)
def install(arguments: Sequence[str]) -> None:
    """Install distributions into the environment that spaniel runs in; ARGUMENTS go to pip."""
    _manage("install", arguments)


@plugins.command(context_settings=_PIP)
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED)
def uninstall(arguments: Sequence[str]) -> None:
    """Remove plugins, by their own or their distributions' names; ARGUMENTS go to pip."""
    distributions = {found.name: found.distribution for found in reversed(find_entry_points())}
    named = [distributions.get(argument, argument) for argument in arguments]
    if CORE in map(canonical, named):
        raise UsageError("spaniel itself is no plugin; remove it with the tool that installed it")
    _named(find_entry_points(), [name for name in named if not name.startswith("-")])
    if not sys.stdin.isatty() and not {"-y", "--yes"} & set(named):
        raise UsageError("pip asks before it removes anything, and nobody is there to answer: add -y")
    _manage("uninstall", named)


@plugins.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def enable(names: Sequence[str]) -> None:
    """Switch plugins on again."""
    from spaniel.plugins import settings

    disabled = settings.disabled()
    chosen = {
        name for found in _named(find_entry_points(), names, disabled) for name in (found.name, found.distribution)
    }
    settings.save_disabled({name for name in disabled if name not in chosen | set(names)})
    click.echo(f"enabled: {', '.join(names)}")
    _warn_of_variables()


@plugins.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def disable(names: Sequence[str]) -> None:
    """Switch plugins off until they are enabled again; by their own or their distributions' names."""
    from spaniel.plugins import settings

    core = [found for found in _named(find_entry_points(), names) if found.distribution == CORE]
    if core:
        raise UsageError("the core's own components cannot be disabled")
    settings.save_disabled(settings.disabled() | set(names))
    click.echo(f"disabled: {', '.join(names)}")
    _warn_of_variables()


def _load(state: State) -> Registry:
    """Load the plugins to tell of their faults, which are neither warned of nor errors here."""
    from spaniel.plugins import load_registry

    return load_registry(state.files, warn=False, strict=False)


def _named(every: Sequence[Found], names: Iterable[str], also: Iterable[str] = ()) -> list[Found]:
    """Return the plugins that names mean.

    Raises:
        UsageError: a name means none, and is not in ``also``.
    """
    for name in names:
        if name not in also and not any(found.is_called({name}) for found in every):
            from difflib import get_close_matches

            known = sorted({known for found in every for known in (found.name, found.distribution)})
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"no plugin is called {name!r}; {hint}there are: {', '.join(known)}")
    return [found for found in every if found.is_called(set(names))]


def _manage(action: str, arguments: Sequence[str]) -> None:
    from spaniel.plugins.install import manager_command, run_pip, shown

    command = manager_command(action, arguments)
    if command is None:
        sys.exit(run_pip(action, arguments))
    raise UsageError(f"this environment is managed by another tool than pip; run: {shown(command)}")


def _warn_of_variables() -> None:
    import os

    for variable in ("SPANIEL_PLUGINS", "SPANIEL_DISABLE"):
        if variable in os.environ:
            click.echo(f"note: {variable} is set, and decides as well which plugins are loaded", err=True)


def _state(status: PluginStatus, faults: Sequence[Fault]) -> str:
    return "faulty" if status.state == "ok" and faults else status.state


def _offers(status: PluginStatus) -> str:
    counts = {
        "component": len(status.components),
        "kind": len(status.kinds),
        "command": len(status.commands),
        "experiment": len(status.experiments),
    }
    return ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for what, count in counts.items() if count) or "-"


def _describe(status: PluginStatus, faults: Sequence[Fault]) -> dict[str, Any]:
    return {
        **identity(status.found),
        "entry_point": status.found.value,
        "state": _state(status, faults),
        "seconds": status.seconds,
        "components": [f"{r.kind}/{r.name}" for r in status.components],
        "kinds": [kind.name for kind in status.kinds],
        "commands": [command.name for command in status.commands],
        "experiments": [experiment.slug for experiment in status.experiments],
        "faults": plain_faults(faults),
    }


def _show(status: PluginStatus, faults: Sequence[Fault]) -> None:
    state = _state(status, faults)
    print_table(
        ("plugin", status.name),
        [
            ("distribution", f"{status.distribution} {status.version}"),
            ("entry point", status.found.value),
            ("state", f"{state}; spaniel plugins enable {status.name}" if state == "disabled" else state),
            ("import", f"{status.seconds * 1000:.1f} ms"),
        ],
    )
    offered = [(f"{r.kind}/{r.name}", r.component.summary) for r in status.components]
    offered += [(f"kind {kind.name}", kind.summary) for kind in status.kinds]
    offered += [(f"spaniel {command.name}", command.summary) for command in status.commands]
    offered += [(f"spaniel reproduce {experiment.slug}", experiment.claim) for experiment in status.experiments]
    if offered:
        click.echo("offers")
    for line in table(offered):
        click.echo(f"  {line}")
    for fault in faults:
        click.echo(f"fault ({fault.stage}): {fault.reason}")
        for line in fault.traceback.splitlines():
            click.echo(f"    {line}")

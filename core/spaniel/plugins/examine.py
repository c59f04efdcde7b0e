"""Examines one plugin for real, in a process of its own: ``python -m spaniel.plugins.examine REPORT KEY [FILE]``.

What is done and what is found is appended to the report, one JSON object a line, so that a process that is killed or
dies has said where.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from spaniel.declare import Experiment
from spaniel.errors import PluginError, UsageError
from spaniel.observe import Stage
from spaniel.plugins.discovery import CORE, Found, file_plugin, find_entry_points, import_limit, import_plugin
from spaniel.plugins.faults import Fault, Faulty, import_fault, one_line
from spaniel.plugins.registered import Registered, resolve
from spaniel.plugins.registry import Registry
from spaniel.plugins.source import HEAVY
from spaniel.plugins.status import PluginStatus, hooks_of
from spaniel.plugins.verify import protocol_names, shadow_faults

NO_LIMIT = 1e5
"""Seconds; the parent has the clock."""
_NOT_IN_DECLARATIONS = HEAVY | {"pydantic"}


class Report:
    """The file that the parent reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **content: Any) -> None:
        """Append one object."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")

    def fault(self, fault: Fault) -> None:
        """Append a fault."""
        self.write(fault={"stage": fault.stage, "reason": fault.reason, "trace": fault.traceback})

    def attempt(self, stage: str, what: str, work: Callable[..., Any], *arguments: Any) -> None:
        """Call something that may fail in any way."""
        self.write(doing=f"checking {what}")
        try:
            work(*arguments)
        except Faulty as error:
            self.fault(Fault(error.stage, str(error), error.__cause__))
        except PluginError as error:
            self.fault(Fault(stage, str(error), error.__cause__ or error))
        except BaseException as error:
            self.fault(Fault(stage, f"{what} failed: {one_line(error)}", error))


def examine(found: Found, report: Report) -> None:
    """Import what a plugin consists of, and hold it against its contract."""
    report.write(doing=f"importing {found.value}")
    loaded, started = _heavy(_NOT_IN_DECLARATIONS), time.perf_counter()
    try:
        import_plugin(found)
    except BaseException as error:
        report.fault(import_fault(found, error))
        return
    report.write(seconds=time.perf_counter() - started)
    heavy = _heavy(_NOT_IN_DECLARATIONS) - loaded
    if heavy:
        reason = f"its entry module imports {', '.join(sorted(heavy))}; name what needs them by import paths in strings"
        report.fault(Fault("import", reason))
    report.write(doing="calling its hooks")
    registry, status = _load(found)
    for fault in (*status.faults, *shadow_faults(registry, status)):
        report.fault(fault)
    report.write(components=[f"{r.kind}/{r.name}" for r in status.components])
    for registered in status.components:
        what = f"the config model of {registered.kind} `{registered.name}`"
        report.attempt("config", what, check_config, registered)
    for registered in status.components:
        what = f"the factory of {registered.kind} `{registered.name}`"
        report.attempt("factory", what, _check_factory, registry, registered, report)
    for command in status.commands:
        report.attempt("commands", f"command `{command.name}`", _check_command, command.callback)
    for check in status.experiments:
        report.attempt("experiments", f"check `{check.slug}`", _check_experiment, check, found.distribution, report)
    for event, observe in _observers(found):
        report.attempt(event, f"hook `{event}`, told of a stage,", observe)
    for name, load in _other_entry_points(found):
        report.attempt("entry point", name, _check_entry_point, load, name, found, report)
    report.write(done=True)


def check_config(registered: Registered) -> None:
    """Import a config model and hold it against its contract.

    Raises:
        PluginError: it cannot be imported, or is no config model.
        Faulty: it breaks the contract.
    """
    if not registered.component.config:
        return
    loaded = _heavy(HEAVY)
    model = registered.config_model()
    what = f"config model `{registered.component.config}`"
    heavy = _heavy(HEAVY) - loaded
    if heavy:
        raise Faulty("config", f"config module imports {', '.join(sorted(heavy))}: {what}")
    if not model.model_config.get("frozen") or model.model_config.get("extra") != "forbid":
        raise Faulty("config", f"{what} must stay frozen and forbid unknown options, as spaniel.Config does")
    bare = [name for name, field in model.model_fields.items() if not field.description]
    if bare:
        raise Faulty("config", f"{what} describes not all of its options: {', '.join(bare)} lack a description")
    model.model_json_schema()
    options = dict(registered.component.options)
    unknown = sorted(options.keys() - model.model_fields.keys())
    if unknown:
        raise Faulty("config", f"`{registered.name}` sets {', '.join(unknown)} beforehand, which {what} does not have")
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    if required - options.keys():
        return
    config = model.model_validate(options)
    text = config.model_dump_json()
    if model.model_validate_json(text) != config:
        raise Faulty("config", f"{what} does not survive JSON: {text} is read as something else")


def _load(found: Found) -> tuple[Registry, PluginStatus]:
    every = find_entry_points()
    core = [one for one in every if one.distribution == CORE]
    registry = Registry([*core, *([] if found in core else [found])], limit=NO_LIMIT)
    status = _status(registry, found)
    if any(fault.stage == "hooks" for fault in status.faults):
        # It implements hooks of kinds that other plugins add.
        registry = Registry([*[one for one in every if one.key != found.key], found], limit=import_limit())
        status = _status(registry, found)
    return registry, status


def _status(registry: Registry, found: Found) -> PluginStatus:
    return next(status for status in registry.plugins() if status.found.key == found.key)


def _heavy(packages: frozenset[str]) -> set[str]:
    return {name for name in packages if name in sys.modules}


def _check_factory(registry: Registry, registered: Registered, report: Report) -> None:
    component = registered.component
    try:
        factory = registered.resolve_factory()
    except UsageError as error:
        report.write(note=f"{registered.kind} `{registered.name}` was not examined: {error}")
        return
    if isinstance(factory, type):
        promised = protocol_names(registry.kinds[registered.kind], component.role)
        lacking = sorted(name for name in promised if not hasattr(factory, name))
        if lacking:
            raise Faulty("factory", f"wrong factory: `{component.factory}` is a class without {', '.join(lacking)}")


def _check_command(path: str) -> None:
    import click

    if not isinstance(resolve(path), click.Command):
        raise Faulty("commands", f"`{path}` is no click command")


def _check_experiment(check: Experiment, distribution: str, report: Report) -> None:
    try:
        run = resolve(check.run)
    except ModuleNotFoundError as error:
        if not check.extra or not _is_foreign(error, check.run):
            raise
        needs = f'pip install "{distribution}[{check.extra}]"'
        report.write(note=f"check `{check.slug}` was not examined, it needs more: {needs}")
        return
    if not callable(run):
        raise Faulty("experiments", f"`{check.run}` cannot be called")


def _check_entry_point(load: Callable[[], Any], name: str, found: Found, report: Report) -> None:
    """Load an entry point for another program, such as pytest; where that is not installed it is for nobody."""
    try:
        load()
    except ModuleNotFoundError as error:
        if not _is_foreign(error, found.value):
            raise
        report.write(note=f"{name} was not examined: there is no {error.name}")


def _is_foreign(error: ModuleNotFoundError, path: str) -> bool:
    """Whether what is missing belongs to another package than a path's own."""
    return bool(error.name) and str(error.name).partition(".")[0] != path.partition(":")[0].partition(".")[0]


def _observers(found: Found) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield each observer's hook of a plugin, and a call of it with a stage that has failed."""
    stage = Stage("bm25", "search", 2, "queries")
    facts = {"stage": stage, "done": 1, "seconds": 0.5, "error": RuntimeError("an example")}
    hooks = hooks_of(import_plugin(found))
    for event in ("stage_started", "stage_progress", "stage_finished"):
        if event in hooks:
            function = hooks[event].function
            known = [name for name in signature(function).parameters if name in facts]
            yield event, partial(function, **{name: facts[name] for name in known})


def _other_entry_points(found: Found) -> Iterator[tuple[str, Callable[[], Any]]]:
    import importlib_metadata

    try:
        distribution = importlib_metadata.distribution(found.distribution)
    except importlib_metadata.PackageNotFoundError:
        return  # a plugin in one file
    for entry in distribution.entry_points:
        if entry.group != "spaniel":
            yield f"entry point `{entry.name}` of {entry.group}", entry.load


def main(report: str, key: str, *files: str) -> None:
    """Examine the plugin with a key; of the files, if there is one, the plugin in it."""
    every = [file_plugin(path) for path in files] or find_entry_points()
    examine(next(found for found in every if found.key == key), Report(Path(report)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Faults that show only when a component is used, found beforehand without importing anything heavy.

Config models are light by contract and really imported; factories are looked up in their source.
"""

from __future__ import annotations

import ast
from functools import cache

from spaniel.declare import Kind
from spaniel.errors import PluginError
from spaniel.plugins.discovery import import_limit, within_limits
from spaniel.plugins.faults import Fault, Interrupted, TimeLimit, one_line
from spaniel.plugins.registered import Registered
from spaniel.plugins.registry import Registry
from spaniel.plugins.source import Missing, definition, describe_class, find_source, heavy_imports, parse
from spaniel.plugins.status import PluginStatus


def verify(registry: Registry, status: PluginStatus) -> list[Fault]:
    """Return the faults of a plugin: why it failed to load, and what does not fit in what it declares."""
    paths = [("kinds", f"kind `{kind.name}`", path) for kind in status.kinds for path in kind.roles.values()]
    paths += [("commands", f"command `{command.name}`", command.callback) for command in status.commands]
    paths += [("experiments", f"check `{experiment.slug}`", experiment.run) for experiment in status.experiments]
    found: list[Fault | None] = [*status.faults, *shadow_faults(registry, status)]
    for registered in status.components:
        found += [_config_fault(registered), _factory_fault(registry, registered)]
    found += [_path_fault(*path) for path in paths]
    return [fault for fault in found if fault is not None]


def shadow_faults(registry: Registry, status: PluginStatus) -> list[Fault]:
    """Find modules that take the place of a hook of the same name in the entry module once they are imported."""
    package = status.found.value.partition(":")[0]
    faults = []
    for hook in (*registry.kinds, "kinds", "commands", "experiments"):
        try:
            there = find_source(f"{package}.{hook}")
        except Missing:
            continue
        if there:
            reason = (
                f"module `{package}.{hook}` has a hook's name: once imported it stands in the hook's place; rename it"
            )
            faults.append(Fault("hooks", reason))
    return faults


def protocol_names(kind: Kind, role: str) -> frozenset[str]:
    """Return the names of the methods that a kind's protocol promises, read from its source."""
    module, _, name = kind.roles[role].partition(":")
    return _protocol_names(module, name)


@cache
def _protocol_names(module: str, name: str) -> frozenset[str]:
    try:
        file = find_source(module)
        classes = {node.name: node for node in ast.walk(parse(file)) if isinstance(node, ast.ClassDef)} if file else {}
    except Missing:
        return frozenset()  # the fault of the plugin that adds the kind, and reported as such
    protocol = classes.get(name)
    methods = (node for node in protocol.body if isinstance(node, ast.FunctionDef)) if protocol is not None else ()
    return frozenset(node.name for node in methods)


def _config_fault(registered: Registered) -> Fault | None:
    path = registered.component.config
    if not path:
        return None
    module = path.partition(":")[0]
    what = f"missing or broken config model: {registered.kind} `{registered.name}` names `{path}`"
    try:
        heavy = heavy_imports(module)
        if heavy:
            return Fault("config", f"{what}, and config module imports {', '.join(heavy)}")
        import spaniel.config  # noqa: F401 - beforehand, so that the limit counts the plugin's own import alone

        with within_limits(import_limit()):
            registered.config_model()
    except Interrupted:
        raise
    except Missing as error:
        return Fault("config", f"{what}, but {error}")
    except PluginError as error:
        return Fault("config", f"missing or broken config model: {error}", error.__cause__ or error)
    except TimeLimit as error:
        return Fault("config", f"{what}: endless import: {error}", error)
    except BaseException as error:
        return Fault("config", f"{what}: {one_line(error)}", error)
    return None


def _factory_fault(registry: Registry, registered: Registered) -> Fault | None:
    path = registered.component.factory
    what = f"wrong factory: {registered.kind} `{registered.name}` names `{path}`"
    module, _, name = path.partition(":")
    try:
        node = definition(module, name)
    except Missing as error:
        return Fault("factory", f"{what}, but {error}")
    if isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.JoinedStr):
        return Fault("factory", f"{what}, which cannot be called")
    if not isinstance(node, ast.ClassDef):
        return None
    described = describe_class(node)
    lacking = protocol_names(registry.kinds[registered.kind], registered.component.role) - described.names
    if lacking and not described.has_bases:
        return Fault("factory", f"{what}, a class without {', '.join(f'`{n}`' for n in sorted(lacking))}")
    return None


def _path_fault(stage: str, what: str, path: str) -> Fault | None:
    module, _, name = path.partition(":")
    try:
        definition(module, name)
    except Missing as error:
        return Fault(stage, f"{what} names `{path}`, but {error}")
    return None

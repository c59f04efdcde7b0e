"""The registry: what the plugins offer that loaded, and the faults of the others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pluggy

from spaniel import hookspecs
from spaniel.declare import Command, Experiment, Kind
from spaniel.errors import PluginError, UsageError
from spaniel.kinds import KINDS
from spaniel.plugins.conflicts import Name, conflicts
from spaniel.plugins.declarations import check_command, check_component, check_experiment, check_kind
from spaniel.plugins.discovery import IMPORT_LIMIT, Found, canonical, import_plugin, within_limits
from spaniel.plugins.faults import Fault, Faulty, Interrupted, hook_fault, import_fault
from spaniel.plugins.registered import Registered
from spaniel.plugins.status import Plugin, PluginStatus, hooks_of
from spaniel.plugins.versions import check_version

_DECLARING = {"kinds", "commands", "experiments"}
"""Hooks that are called plugin by plugin, as those of the kinds are; only observers are told through pluggy."""


class Registry:
    """Kinds, components, commands and experiments of the plugins that loaded, and the hooks of the observers.

    Plugins that fail leave nothing behind: whenever plugins are added or taken out, everything is put together anew
    from those that are whole. What a plugin's hooks yield is asked for once.

    Args:
        found: the plugins to load; those that fail are kept with their faults.
        disabled: those of them that are only listed.
        limit: seconds that each may take.
    """

    def __init__(
        self, found: Iterable[Found] = (), disabled: Iterable[Found] = (), limit: float = IMPORT_LIMIT
    ) -> None:
        self._observers: list[object] = []
        self._limit = limit
        off = {one.key for one in disabled}
        self._plugins = {one.key: Plugin(one, "disabled" if one.key in off else "ok") for one in found}
        for plugin in self._plugins.values():
            self._import(plugin)
        self._settle()

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Name → kind: the core's six, then those that plugins add."""
        return self._kinds

    def observe(self, observer: object) -> None:
        """Add an observer of running pipelines."""
        self._manager.register(observer)
        self._observers.append(observer)

    def tell(self, event: str, **facts: Any) -> None:
        """Tell the observers that something has happened; one that fails is named on standard error, and told no more.

        Args:
            event: the name of an observer's hook, such as ``"stage_started"``.
            facts: its arguments.

        Raises:
            PluginError: an observer of a plugin fails, and ``SPANIEL_STRICT=1``.
        """
        for implementation in reversed(getattr(self._manager.hook, event).get_hookimpls()):
            try:
                implementation.function(*(facts[name] for name in implementation.argnames))
            except Exception as error:
                self._dismiss(implementation.plugin, hook_fault(event, error))

    def plugins(self) -> list[PluginStatus]:
        """Return every plugin that was found, in the order of loading."""
        return [plugin.status(set(self._kinds)) for plugin in self._plugins.values()]

    def components(self, kind: str | None = None) -> list[Registered]:
        """Return the components of a kind, or of all kinds, by kind and name."""
        kinds = self._kinds if kind is None else (kind,)
        return [found[name] for k in kinds for found in (self._components.get(k, {}),) for name in sorted(found)]

    def commands(self) -> list[Command]:
        """Return the sub-commands that plugins add, by name."""
        found = [command for plugin in self._whole() for command in plugin.declared.get("commands", ())]
        return sorted(found, key=lambda command: command.name)

    def experiments(self) -> list[tuple[str, Experiment]]:
        """Return the headline checks, each with the distribution that offers it, by slug."""
        found = [(p.found.distribution, e) for p in self._whole() for e in p.declared.get("experiments", ())]
        return sorted(found, key=lambda pair: pair[1].slug)

    def has(self, kind: str, name: str) -> bool:
        """Whether a component of this kind has this name, or this ``distribution/name``."""
        distribution, _, bare = name.rpartition("/")
        found = self._components.get(kind, {}).get(bare)
        return found is not None and (not distribution or canonical(distribution) == found.distribution)

    def find(self, kind: str | Sequence[str], name: str) -> Registered:
        """Return the component with a name.

        Args:
            kind: its kind, or the kinds that it may have, the likeliest first.
            name: its name, or ``distribution/name``.

        Raises:
            PluginError: a plugin that did not load offers it.
            UsageError: nothing has this name; the message has near names, and the command that installs it.
        """
        kinds = (kind,) if isinstance(kind, str) else tuple(kind)
        for k in kinds:
            if self.has(k, name):
                return self._components[k][name.rpartition("/")[2]]
        from spaniel.plugins.catalogue import failed_plugin, unknown

        failed = failed_plugin(self, kinds, name)
        if failed is not None:
            raise plugin_error(failed.found, failed.faults[0])
        raise UsageError(unknown(self, kinds, name))

    def register(self, plugin: object, name: str, distribution: str = "", version: str = "0") -> None:
        """Load a plugin that is at hand: a module, or an object with hook implementations.

        Raises:
            PluginError: it does not load; the registry stays as it was.
            UsageError: there is a plugin with this name already.
        """
        found = Found(name, name, canonical(distribution or name), version)
        if found.key in self._plugins:
            raise UsageError(f"a plugin `{name}` of {found.distribution} is registered already")
        self._add(Plugin(found, module=plugin))

    def register_file(self, found: Found) -> None:
        """Load a plugin in one file, see :func:`spaniel.plugins.discovery.file_plugin`.

        Raises:
            PluginError: it does not load; the registry stays as it was.
        """
        self._add(Plugin(found))

    def unregister(self, name: str) -> None:
        """Take a plugin out again, with everything that it declared.

        Raises:
            UsageError: there is no such plugin.
        """
        keys = [key for key, plugin in self._plugins.items() if plugin.found.name == name]
        if not keys:
            raise UsageError(f"there is no plugin `{name}`")
        for key in keys:
            del self._plugins[key]
        self._settle()

    def _dismiss(self, observer: object, fault: Fault) -> None:
        self._manager.unregister(observer)
        self._observers = [one for one in self._observers if one is not observer]
        plugin = next((plugin for plugin in self._plugins.values() if plugin.module is observer), None)
        if plugin is None:
            name = type(observer).__name__
        else:
            plugin.fault = fault
            if os.environ.get("SPANIEL_STRICT") == "1":
                raise plugin_error(plugin.found, fault)
            name = f"`{plugin.found.name}` of {plugin.found.distribution}"
        print(f"warning: observer {name} is told no more: {fault.reason}", file=sys.stderr)

    # Loading

    def _add(self, plugin: Plugin) -> None:
        self._plugins[plugin.found.key] = plugin
        self._import(plugin)
        self._settle()
        if plugin.fault is not None:
            del self._plugins[plugin.found.key]
            self._settle()
            raise plugin_error(plugin.found, plugin.fault)

    def _whole(self) -> Iterator[Plugin]:
        return (plugin for plugin in self._plugins.values() if plugin.state == "ok")

    def _attempt(self, plugin: Plugin, work: Callable[[Plugin], None]) -> None:
        if plugin.state != "ok":
            return
        try:
            with within_limits(self._limit):
                work(plugin)
        except Interrupted:
            raise
        except BaseException as error:
            at_import = plugin.stage == "import"
            plugin.fail(import_fault(plugin.found, error) if at_import else hook_fault(plugin.stage, error))

    def _import(self, plugin: Plugin) -> None:
        started = time.perf_counter()
        self._attempt(plugin, self._learn)
        plugin.seconds = time.perf_counter() - started

    def _learn(self, plugin: Plugin) -> None:
        """Import a plugin, and learn its hooks and the kinds that it adds."""
        if plugin.module is None:
            plugin.module = import_plugin(plugin.found)
        if hasattr(plugin.module, "requires_hookspec"):
            check_version(plugin.module.requires_hookspec)
        plugin.stage = "hooks"
        plugin.hooks = hooks_of(plugin.module)
        for kind in plugin.call("kinds"):
            check_kind(kind)
            __import__(kind.hookspecs)
            specification = getattr(sys.modules[kind.hookspecs], kind.name, None)
            if not hasattr(specification, "spaniel_spec"):
                raise Faulty("kinds", f"kind `{kind.name}`: {kind.hookspecs} specifies no hook `{kind.name}`")

    def _settle(self) -> None:
        """Put everything together from the plugins that are whole, until no more of them fail."""
        while True:
            whole = list(self._whole())
            self._put_together()
            if whole == list(self._whole()):
                break

    def _put_together(self) -> None:
        self._kinds: dict[str, Kind] = {kind.name: kind for kind in KINDS}
        self._components: dict[str, dict[str, Registered]] = {}
        self._manager = pluggy.PluginManager("spaniel")
        self._manager.add_hookspecs(hookspecs)
        for plugin in self._whole():
            self._attempt(plugin, self._add_kinds)
        for plugin in self._whole():
            self._attempt(plugin, self._declare)
        for key, fault in conflicts((plugin.found, self._names(plugin)) for plugin in self._whole()):
            self._plugins[key].fail(fault)
        for plugin in self._whole():
            for registered in self._known_components(plugin):
                self._components.setdefault(registered.kind, {})[registered.name] = registered
        for observer in self._observers:
            self._manager.register(observer)

    def _add_kinds(self, plugin: Plugin) -> None:
        plugin.stage = "kinds"
        for kind in plugin.declared.get("kinds", ()):
            if kind.name in self._kinds:
                raise Faulty("kinds", f"duplicate name: there is a kind `{kind.name}` already")
            if not self._specifies(kind.name):
                self._manager.add_hookspecs(sys.modules[kind.hookspecs])
            self._kinds[kind.name] = kind

    def _declare(self, plugin: Plugin) -> None:
        """Check the hooks of a plugin, and what they yield."""
        plugin.stage = "hooks"
        for name, hook in plugin.hooks.items():
            if not hook.optional and not self._specifies(name):
                raise Faulty("hooks", f"hook `{name}` is not known{self._near(name)}")
        if plugin.hooks.keys() - self._kinds.keys() - _DECLARING:
            try:
                self._manager.register(plugin.module, plugin.found.key)
            except (pluggy.PluginValidationError, ValueError) as error:
                raise Faulty("hooks", " ".join(str(error).split())) from error
        for kind in self._kinds.values():
            for component in plugin.call(kind.name):
                check_component(kind, component)
        for command in plugin.call("commands"):
            check_command(command)
        for experiment in plugin.call("experiments"):
            check_experiment(experiment)

    def _specifies(self, hook: str) -> bool:
        caller = getattr(self._manager.hook, hook, None)
        return caller is not None and caller.has_spec()

    def _near(self, name: str) -> str:
        from difflib import get_close_matches

        known = sorted(hook for hook in vars(self._manager.hook) if self._specifies(hook))
        near = get_close_matches(name, known, n=1)
        return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"

    def _known_components(self, plugin: Plugin) -> list[Registered]:
        return [registered for registered in plugin.components() if registered.kind in self._kinds]

    def _names(self, plugin: Plugin) -> list[Name]:
        names = [(registered.kind, registered.name) for registered in self._known_components(plugin)]
        names += [("command", command.name) for command in plugin.declared.get("commands", ())]
        names += [("experiment", experiment.slug) for experiment in plugin.declared.get("experiments", ())]
        return names


def plugin_error(found: Found, fault: Fault) -> PluginError:
    """Return the error for those who ask for a plugin that did not load; its cause is what the plugin raised."""
    error = PluginError(
        found.distribution,
        f"plugin `{found.name}` did not load: {fault.reason} (`spaniel plugins show {found.name}` shows where)",
    )
    error.__cause__ = fault.error
    return error

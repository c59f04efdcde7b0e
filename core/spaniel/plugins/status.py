"""A plugin while it is loaded, and what is told of it afterwards."""

from __future__ import annotations

from inspect import isroutine
from types import ModuleType
from typing import Any, NamedTuple

from spaniel.declare import Command, Component, Experiment, Kind
from spaniel.plugins.discovery import Found
from spaniel.plugins.faults import Fault
from spaniel.plugins.registered import Registered


class PluginStatus(NamedTuple):
    """A plugin that was found, and what it offers.

    Attributes:
        found: its entry point.
        state: ``"ok"``, ``"failed"`` or ``"disabled"``.
        faults: why it failed.
        seconds: how long importing it took.
        components: what it offers; empty unless it loaded. ``kinds``, ``commands`` and ``experiments`` likewise.
        offered: ``(kind, name)`` of the components that it declared, also where it failed afterwards.
    """

    found: Found
    state: str
    faults: tuple[Fault, ...]
    seconds: float
    components: tuple[Registered, ...]
    kinds: tuple[Kind, ...]
    commands: tuple[Command, ...]
    experiments: tuple[Experiment, ...]
    offered: frozenset[tuple[str, str]]

    @property
    def name(self) -> str:
        """Name of its entry point."""
        return self.found.name

    @property
    def distribution(self) -> str:
        """The distribution that brings it."""
        return self.found.distribution

    @property
    def version(self) -> str:
        """Version of the distribution."""
        return self.found.version


class Hook(NamedTuple):
    """A hook implementation: what is called, and whether the hook may be unknown."""

    function: Any
    optional: bool


def hooks_of(plugin: Any) -> dict[str, Hook]:
    """Return the hook implementations of a module or an object, by the names of their hooks."""
    hooks = {}
    for name in vars(plugin) if isinstance(plugin, ModuleType) else dir(plugin):
        if name.startswith("__"):
            continue
        function = getattr(plugin, name)
        # Where pluggy's marker leaves its options; its own parser looks at each name in ways that cost a millisecond.
        options = getattr(function, "spaniel_impl", None) if isroutine(function) else None
        if options is not None:
            hooks[options["specname"] or name] = Hook(function, options["optionalhook"])
    return hooks


class Plugin:
    """A plugin while it is loaded: its module, its hooks, and what each of them yielded."""

    def __init__(self, found: Found, state: str = "ok", module: Any = None) -> None:
        self.found = found
        self.state = state
        self.module = module
        self.hooks: dict[str, Hook] = {}
        self.declared: dict[str, list[Any]] = {}
        self.fault: Fault | None = None
        self.stage = "import"
        self.seconds = 0.0

    def fail(self, fault: Fault) -> None:
        """Keep why the plugin is left out."""
        self.state, self.fault = "failed", fault

    def call(self, hook: str) -> list[Any]:
        """Return what a hook yields; it is called once."""
        if hook in self.hooks and hook not in self.declared:
            self.stage = hook
            self.declared[hook] = list(self.hooks[hook].function() or ())
        return self.declared.get(hook, [])

    def components(self) -> list[Registered]:
        """Return the components that it declared, for kinds that are known or not."""
        found = self.found
        return [
            Registered(hook, item, found.distribution, found.version, found.name)
            for hook, items in self.declared.items()
            for item in items
            if isinstance(item, Component)
        ]

    def status(self, kinds: set[str]) -> PluginStatus:
        """Return what is told of it; of its components, those of kinds that are known."""
        declared = self.declared if self.state == "ok" else {}
        components = self.components()
        return PluginStatus(
            found=self.found,
            state=self.state,
            faults=(self.fault,) if self.fault is not None else (),
            seconds=self.seconds,
            components=tuple(c for c in components if c.kind in kinds) if declared else (),
            kinds=tuple(declared.get("kinds", ())),
            commands=tuple(declared.get("commands", ())),
            experiments=tuple(declared.get("experiments", ())),
            offered=frozenset((c.kind, c.name) for c in components),
        )

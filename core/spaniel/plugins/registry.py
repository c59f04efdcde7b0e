"""The registry: every plugin loaded by itself, its declarations checked, its faults kept and named."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from spaniel import hookspecs
from spaniel.declare import Command, Component, Experiment, Kind
from spaniel.errors import PluginError, UsageError
from spaniel.kinds import KINDS
from spaniel.plugins import settings
from spaniel.plugins.discovery import CORE, Found, ImportLimit, find_entry_points, import_file, import_limit, import_plugin
from spaniel.plugins.registered import Registered

_KEBAB = re.compile(r"[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_FOLLOWS = ("", "never", "may", "must")


class Fault(NamedTuple):
    """What is wrong with a plugin: at which step, why, and the exception where there was one."""

    step: str
    reason: str
    error: BaseException | None = None


class PluginStatus(NamedTuple):
    """A plugin that was found: ``state`` is ``"ok"``, ``"failed"`` or ``"disabled"``."""

    found: Found
    state: str
    faults: tuple[Fault, ...]
    components: tuple[Registered, ...]
    seconds: float


class _Declared(NamedTuple):
    kinds: list[Kind]
    components: list[Registered]
    commands: list[Command]
    experiments: list[Experiment]


class _Faulty(Exception):
    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


class Registry:
    """Kinds, components, commands and experiments of the plugins that loaded, and the hooks of the observers."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("spaniel")
        self._manager.add_hookspecs(hookspecs)
        self._specs = {"spaniel.hookspecs"}
        self._kinds: dict[str, Kind] = {kind.name: kind for kind in KINDS}
        self._plugins: dict[str, PluginStatus] = {}
        self._declared: dict[str, _Declared] = {}
        self._components: dict[str, dict[str, Registered]] = {}

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Name → kind: the core's six, then those that plugins add."""
        return self._kinds

    @property
    def hook(self) -> Any:
        """The hooks, for telling observers."""
        return self._manager.hook

    def observe(self, observer: object) -> None:
        """Add an observer of running pipelines."""
        self._manager.register(observer)

    def plugins(self) -> list[PluginStatus]:
        """Return every plugin that was found, in the order of loading."""
        return list(self._plugins.values())

    def components(self, kind: str | None = None) -> list[Registered]:
        """Return the components of a kind, or of all kinds, by kind and name."""
        kinds = self._kinds if kind is None else (kind,)
        return [found[name] for k in kinds for found in (self._components.get(k, {}),) for name in sorted(found)]

    def commands(self) -> list[Command]:
        """Return the sub-commands that plugins add; of two with one name, the first."""
        named = {c.name: c for declared in reversed(self._declared.values()) for c in declared.commands}
        return [named[name] for name in sorted(named)]

    def experiments(self) -> list[tuple[str, Experiment]]:
        """Return the headline checks with the distributions that offer them."""
        pairs = [(self._plugins[key].found.distribution, e) for key, d in self._declared.items() for e in d.experiments]
        return sorted(pairs, key=lambda pair: pair[1].slug)

    def has(self, kind: str, name: str) -> bool:
        """Whether a component of this kind has this name, or this ``distribution/name``."""
        distribution, _, bare = name.rpartition("/")
        found = self._components.get(kind, {}).get(bare)
        return found is not None and distribution in ("", found.distribution)

    def find(self, kind: str | Sequence[str], name: str) -> Registered:
        """Return the component with a name.

        Args:
            kind: its kind, or the kinds that it may have, the likeliest first.
            name: its name, or ``distribution/name``.

        Raises:
            PluginError: a plugin that failed to load offers it.
            UsageError: nothing has this name; the message has near names, and the command that installs it.
        """
        kinds = (kind,) if isinstance(kind, str) else tuple(kind)
        for k in kinds:
            if self.has(k, name):
                return self._components[k][name.rpartition("/")[2]]
        self._blame_failed(name)
        from spaniel.plugins.catalogue import unknown

        raise UsageError(unknown(self, kinds, name))

    def register(self, plugin: ModuleType | object, name: str, distribution: str = "", version: str = "0") -> None:
        """Load a plugin that is at hand: a module, or an object with hook implementations.

        Raises:
            PluginError: it does not load.
        """
        self._load(Found(name, name, distribution or name, version), plugin)
        status = self._plugins[name]
        if status.faults:
            raise PluginError(status.found.distribution, status.faults[0].reason) from status.faults[0].error

    def unregister(self, name: str) -> None:
        """Take a plugin out again, with everything that it declared."""
        self._roll_back(self._plugins[name].found)
        del self._plugins[name]

    # Loading

    def load(self, found: Iterable[Found], is_disabled: Mapping[str, bool], limit: float) -> None:
        """Load plugins; those that are disabled are only listed."""
        for one in found:
            if is_disabled.get(_key(one), False):
                self._plugins[_key(one)] = PluginStatus(one, "disabled", (), (), 0.0)
            else:
                self._load(one, None, limit)

    def settle(self) -> None:
        """Declare what plugins offer for kinds that other plugins add, now that all kinds are known."""
        for key, status in list(self._plugins.items()):
            if status.state == "ok":
                self._declare(status.found, self._manager.get_plugin(key), status.seconds)

    def _load(self, found: Found, plugin: Any, limit: float = 0.0) -> None:
        started = time.perf_counter()
        key = _key(found) if plugin is None else found.name
        try:
            if plugin is None:
                plugin = import_plugin(found, limit)
            at_hand = plugin is not None and key == found.name
            _check_version(plugin)
            self._manager.register(plugin, key)
        except KeyboardInterrupt:
            raise
        except _Faulty as error:
            self._fail(found, key, Fault(error.step, str(error)), started)
        except ImportLimit as error:
            self._fail(found, key, Fault("import", f"endless import: {error}", error), started)
        except SystemExit as error:
            self._fail(found, key, Fault("import", f"it calls sys.exit({error.code!r}) when imported", error), started)
        except ModuleNotFoundError as error:
            reason = _missing(found, error)
            self._fail(found, key, Fault("import", reason, error), started)
        except AttributeError as error:
            reason = f"the entry point `{found.value}` does not exist: {error}" if ":" in found.value else f"import error: {error}"
            self._fail(found, key, Fault("import", reason, error), started)
        except BaseException as error:
            reason = f"import error: {type(error).__name__}: {error}"
            self._fail(found, key, Fault("import", reason, error), started)
        else:
            seconds = time.perf_counter() - started
            self._plugins[key] = PluginStatus(found, "ok", (), (), seconds)
            self._add_kinds(found, key, plugin)
            if at_hand and self._plugins[key].state == "ok":
                self._declare(found, plugin, seconds, key)

    def _fail(self, found: Found, key: str, fault: Fault, started: float | None = None) -> None:
        seconds = time.perf_counter() - started if started is not None else self._plugins[key].seconds
        self._roll_back(found, key)
        self._plugins[key] = PluginStatus(found, "failed", (fault,), (), seconds)

    def _roll_back(self, found: Found, key: str = "") -> None:
        key = key or (_key(found) if _key(found) in self._plugins else found.name)
        if self._manager.has_plugin(key):
            self._manager.unregister(name=key)
        declared = self._declared.pop(key, None)
        if declared is None:
            return
        for registered in declared.components:
            if self._components.get(registered.kind, {}).get(registered.name) is registered:
                del self._components[registered.kind][registered.name]
        for kind in declared.kinds:
            self._kinds.pop(kind.name, None)

    def _calls(self, key: str, hook: str) -> Iterator[Any]:
        caller = getattr(self._manager.hook, hook, None)
        for implementation in caller.get_hookimpls() if caller is not None else ():
            if implementation.plugin_name == key:
                yield from implementation.function() or ()

    def _add_kinds(self, found: Found, key: str, plugin: Any) -> None:
        declared = _Declared([], [], [], [])
        self._declared[key] = declared
        try:
            for kind in self._calls(key, "kinds"):
                if not isinstance(kind, Kind):
                    raise _Faulty("kinds", f"hook `kinds` yields {kind!r}, which is no Kind")
                if kind.name in self._kinds:
                    raise _Faulty("kinds", f"duplicate name: there is a kind `{kind.name}` already")
                if kind.hookspecs not in self._specs:
                    __import__(kind.hookspecs)
                    self._manager.add_hookspecs(sys.modules[kind.hookspecs])
                    self._specs.add(kind.hookspecs)
                self._kinds[kind.name] = kind
                declared.kinds.append(kind)
        except KeyboardInterrupt:
            raise
        except _Faulty as error:
            self._fail(found, key, Fault(error.step, str(error)))
        except BaseException as error:
            self._fail(found, key, Fault("kinds", f"error inside hook `kinds`: {type(error).__name__}: {error}", error))

    def _declare(self, found: Found, plugin: Any, seconds: float, key: str = "") -> None:
        key = key or _key(found)
        declared = self._declared[key]
        step = "hooks"
        try:
            self._check_hooks(key, plugin)
            for kind in self._kinds.values():
                step = kind.name
                for component in self._calls(key, kind.name):
                    self._add(found, key, kind, component)
            for step, kind_of, into in (
                ("commands", Command, declared.commands),
                ("experiments", Experiment, declared.experiments),
            ):
                for item in self._calls(key, step):
                    if not isinstance(item, kind_of):
                        raise _Faulty(step, f"hook `{step}` yields {item!r}, which is no {kind_of.__name__}")
                    into.append(item)  # type: ignore[attr-defined]
        except KeyboardInterrupt:
            raise
        except _Faulty as error:
            self._fail(found, key, Fault(error.step, str(error)))
        except BaseException as error:
            reason = f"error inside hook `{step}`: {type(error).__name__}: {error}"
            self._fail(found, key, Fault(step, reason, error))
        else:
            self._plugins[key] = PluginStatus(found, "ok", (), tuple(declared.components), seconds)

    def _check_hooks(self, key: str, plugin: Any) -> None:
        known = {name for name in dir(self._manager.hook) if not name.startswith("_")}
        for hook in vars(self._manager.hook):
            caller = getattr(self._manager.hook, hook)
            for implementation in caller.get_hookimpls():
                if implementation.plugin_name == key and not caller.has_spec() and not implementation.optionalhook:
                    from difflib import get_close_matches

                    near = get_close_matches(hook, known - {hook}, n=1)
                    hint = f"; did you mean `{near[0]}`?" if near else ""
                    raise _Faulty("hooks", f"wrong kind: no hook `{hook}` is known{hint}")

    def _add(self, found: Found, key: str, kind: Kind, component: Any) -> None:
        _check_component(kind, component)
        registered = Registered(kind.name, component, found.distribution, found.version, found.name)
        holder = self._components.setdefault(kind.name, {}).get(component.name)
        if holder is not None:
            if holder.plugin == found.name and holder.distribution == found.distribution:
                raise _Faulty(kind.name, f"duplicate name: it declares {kind.name} `{component.name}` twice")
            from spaniel.plugins.catalogue import owner

            if owner(kind.name, component.name) != found.distribution:
                raise _Faulty(
                    kind.name,
                    f"duplicate name: {kind.name} `{component.name}` belongs to {holder.distribution}, "
                    f"and {found.distribution} declares it, too",
                )
            self._evict(holder, found)
        self._components[kind.name][component.name] = registered
        self._declared[key].components.append(registered)

    def _evict(self, holder: Registered, owner: Found) -> None:
        for key, status in list(self._plugins.items()):
            if status.found.name == holder.plugin and status.found.distribution == holder.distribution:
                reason = (
                    f"duplicate name: {holder.kind} `{holder.name}` belongs to {owner.distribution}, "
                    f"and {holder.distribution} declares it, too"
                )
                self._fail(status.found, key, Fault(holder.kind, reason))

    def _blame_failed(self, name: str) -> None:
        """Raise the fault of a failed plugin for those who ask for it by its distribution or its own name."""
        distribution, _, bare = name.rpartition("/")
        for status in self._plugins.values():
            if status.faults and (status.found.distribution == distribution or status.found.name == bare):
                fault = status.faults[0]
                raise PluginError(status.found.distribution, f"the plugin did not load: {fault.reason}") from fault.error


def load_registry(files: Sequence[str] = ()) -> Registry:
    """Load every installed plugin, and one-file plugins.

    A plugin that does not load is rolled back and named in one line on standard error.

    Raises:
        PluginError: ``SPANIEL_STRICT=1``, and a plugin does not load; or a one-file plugin does not.
        UsageError: a one-file plugin is not there.
    """
    registry = Registry()
    found = find_entry_points()
    only, off = settings.listed("SPANIEL_PLUGINS"), settings.listed("SPANIEL_DISABLE") or set()
    off = off | settings.disabled()

    def is_disabled(one: Found) -> bool:
        names = {one.name, one.distribution}
        return one.distribution != CORE and (bool(names & off) or (only is not None and not names & only))

    registry.load(found, {_key(one): is_disabled(one) for one in found}, import_limit())
    registry.settle()
    failed = [status for status in registry.plugins() if status.faults]
    for status in failed:
        fault = status.faults[0]
        if os.environ.get("SPANIEL_STRICT") == "1":
            raise PluginError(status.found.distribution, fault.reason) from fault.error
        first = fault.reason.splitlines()[0] if fault.reason else fault.step
        print(
            f"warning: plugin `{status.found.name}` of {status.found.distribution} left out: {first} "
            f"(spaniel plugins show {status.found.name}; spaniel plugins disable {status.found.name})",
            file=sys.stderr,
        )
    for path in files:
        try:
            module = import_file(path)
        except (KeyboardInterrupt, UsageError):
            raise
        except BaseException as error:
            raise PluginError(path, f"import error: {type(error).__name__}: {error}") from error
        registry.register(module, path, distribution=module.__name__)
    return registry


def _key(found: Found) -> str:
    return f"{found.distribution}:{found.name}"


def _check_component(kind: Kind, component: Any) -> None:
    def fault(reason: str) -> _Faulty:
        return _Faulty(kind.name, reason)

    if not isinstance(component, Component):
        raise fault(f"wrong kind: hook `{kind.name}` yields {component!r}, which is no Component")
    name = component.name
    if not isinstance(name, str) or not _KEBAB.fullmatch(name):
        raise fault(f"{name!r} is no name of a component; names are kebab-case, as in `bm25` or `dense-prf`")
    if not isinstance(component.factory, str) or not _PATH.fullmatch(component.factory):
        raise fault(f"wrong factory: `{name}` names {component.factory!r}, not a path as in `package.module:Class`")
    if not isinstance(component.config, str) or (component.config and not _PATH.fullmatch(component.config)):
        raise fault(f"broken config model: `{name}` names {component.config!r}, not a path as in `package.module:Model`")
    if component.role not in kind.roles:
        allowed = ", ".join(role or "none" for role in kind.roles)
        raise fault(f"wrong kind: `{name}` has the role {component.role or 'none'!r}; {kind.name} knows {allowed}")
    if component.follows not in _FOLLOWS or (component.follows and not kind.follows):
        raise fault(f"wrong kind: `{name}` says follows={component.follows!r}, which {kind.name} does not allow")
    for field in ("takes", "gives"):
        value = getattr(component, field)
        if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
            raise fault(f"`{name}` says {field}={value!r}, which is no tuple of names")
    if not isinstance(component.options, Mapping):
        raise fault(f"`{name}` says options={component.options!r}, which is no mapping")


def _missing(found: Found, error: ModuleNotFoundError) -> str:
    module = found.value.partition(":")[0]
    if error.name and (module == error.name or module.startswith(f"{error.name}.")):
        return f"the entry point `{found.value}` does not exist: there is no module {error.name}"
    return f"import error: {error}"


def _check_version(plugin: Any) -> None:
    wanted = getattr(plugin, "requires_hookspec", None)
    if wanted is None:
        return
    if not isinstance(wanted, str):
        raise _Faulty("version", f"requires_hookspec is {wanted!r}, not text as in '>=1.0,<2'")
    have = _version(hookspecs.HOOKSPEC_VERSION)
    for clause in filter(None, (part.strip() for part in wanted.split(","))):
        match = re.fullmatch(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)", clause)
        if match is None:
            raise _Faulty("version", f"requires_hookspec {wanted!r} has the part {clause!r}; write '>=1.0,<2'")
        other = _version(match[2])
        holds = {
            ">=": have >= other,
            "<=": have <= other,
            "==": have == other,
            "!=": have != other,
            ">": have > other,
            "<": have < other,
        }[match[1]]
        if not holds:
            raise _Faulty(
                "version", f"hook-spec version out of range: it wants {wanted}, this is {hookspecs.HOOKSPEC_VERSION}"
            )


def _version(text: str) -> tuple[int, ...]:
    parts = [int(part) for part in text.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)

"""Which plugins are loaded, and what is said of those that fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from spaniel.plugins import settings
from spaniel.plugins.discovery import CORE, Found, crashes_shown, file_plugin, find_entry_points, import_limit
from spaniel.plugins.registry import Registry, plugin_error
from spaniel.plugins.status import PluginStatus


def load_registry(
    files: Sequence[str] = (), *, discover: bool = True, warn: bool = True, strict: bool | None = None
) -> Registry:
    """Load the core's own components, every installed plugin that is not switched off, and plugins in files.

    A plugin that does not load is rolled back, and named in one line on standard error. ``SPANIEL_PLUGINS=a,b`` loads
    only these, also where they are disabled; ``SPANIEL_DISABLE=a,b`` all but these. Both name distributions or entry
    points.

    Args:
        files: paths of plugins in one Python file each.
        discover: whether installed plugins are loaded; the core's own always are.
        warn: whether plugins that fail are named on standard error.
        strict: whether the first of them is an error; by default where ``SPANIEL_STRICT=1``.

    Raises:
        PluginError: a plugin in a file does not load; or an installed one does not, and loading is strict.
        UsageError: a file is not there, or a variable holds no number.
    """
    found = [one for one in find_entry_points() if discover or one.distribution == CORE]
    with crashes_shown():
        registry = Registry(found, switched_off(found), import_limit())
    failed = [status for status in registry.plugins() if status.faults]
    if strict if strict is not None else os.environ.get("SPANIEL_STRICT") == "1":
        for status in failed:
            raise plugin_error(status.found, status.faults[0])
    if warn:
        if discover:
            _warn_of_unknown(found)
        for status in failed:
            print(f"warning: {_left_out(status)}", file=sys.stderr)
    with crashes_shown():
        for path in files:
            registry.register_file(file_plugin(path))
    return registry


def switched_off(found: Iterable[Found]) -> list[Found]:
    """Return those of the plugins that the user has switched off; never the core."""
    only, not_these = settings.listed("SPANIEL_PLUGINS"), settings.listed("SPANIEL_DISABLE") or set()
    if only is None:
        not_these = not_these | settings.disabled()

    def is_off(one: Found) -> bool:
        return one.is_called(not_these) or (only is not None and not one.is_called(only))

    return [one for one in found if one.distribution != CORE and is_off(one)]


def _warn_of_unknown(found: Iterable[Found]) -> None:
    every = list(found)
    for variable in ("SPANIEL_PLUGINS", "SPANIEL_DISABLE"):
        unknown = [name for name in settings.listed(variable) or () if not any(one.is_called({name}) for one in every)]
        if unknown:
            named = ", ".join(sorted(unknown))
            print(f"warning: {variable} names {named}, which no installed plugin is called", file=sys.stderr)


def _left_out(status: PluginStatus) -> str:
    name = status.name
    return (
        f"plugin `{name}` of {status.distribution} is left out: {' '.join(status.faults[0].reason.split())} "
        f"(spaniel plugins show {name}; spaniel plugins disable {name})"
    )

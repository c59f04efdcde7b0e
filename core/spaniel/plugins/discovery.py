"""Finding plugins: entry points, one-file plugins, and importing them under a time limit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, NamedTuple

from spaniel.errors import UsageError

GROUP = "spaniel"
CORE = "spaniel"
IMPORT_LIMIT = 10.0


class Found(NamedTuple):
    """An entry point, or a file, that offers a plugin; ``value`` is ``"module"`` or ``"module:attribute"``."""

    name: str
    value: str
    distribution: str
    version: str


class ImportLimit(BaseException):
    """An import took longer than the limit; a BaseException, so that no plugin's own ``except`` stops it."""


def find_entry_points() -> list[Found]:
    """Return the plugins of all installed distributions, the core's first, then by distribution and name."""
    import importlib_metadata

    found = {}
    for entry in importlib_metadata.entry_points(group=GROUP):
        if entry.dist is None:
            continue
        one = Found(entry.name, entry.value, entry.dist.name, entry.dist.version)
        found[(one.distribution != CORE, one.distribution, one.name)] = one
    return [found[key] for key in sorted(found)]


def import_limit() -> float:
    """Return the seconds that importing one plugin may take: ``SPANIEL_IMPORT_LIMIT``, else 10."""
    text = os.environ.get("SPANIEL_IMPORT_LIMIT", str(IMPORT_LIMIT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"SPANIEL_IMPORT_LIMIT must be a number of seconds above 0, not {text!r}")
    return seconds


def import_plugin(found: Found, limit: float) -> ModuleType:
    """Import a plugin's module, or the attribute of it that the entry point names.

    Whatever the import prints goes to standard error, so that it spoils no ``--json``.

    Raises:
        BaseException: whatever the import raises; :class:`ImportLimit` where it takes too long.
    """
    module_name, _, attribute = found.value.partition(":")
    with _time_limit(limit), _stdout_to_stderr():
        __import__(module_name)
        plugin: Any = sys.modules[module_name]
        for part in attribute.split(".") if attribute else ():
            plugin = getattr(plugin, part)
    return plugin  # type: ignore[no-any-return]


def import_file(path: str) -> ModuleType:
    """Import a one-file plugin under the name of its file.

    Raises:
        UsageError: there is no such file.
    """
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    file = Path(path)
    if not file.is_file() or file.suffix != ".py":
        raise UsageError(f"--plugin {path}: there is no such Python file")
    name = file.stem.replace("-", "_")
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - it is a .py file
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _stdout_to_stderr():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    # Only the main thread can be interrupted, and only where there are signals; elsewhere `plugins check` finds it.
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise ImportLimit(f"it takes longer than {seconds:g} s (SPANIEL_IMPORT_LIMIT)")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    before = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = before

"""Finding plugins: entry points of installed distributions, and files; importing them within limits."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from spaniel.errors import UsageError
from spaniel.plugins.faults import Ended, Faulty, Interrupted, TimeLimit

if TYPE_CHECKING:
    from types import FrameType

GROUP = "spaniel"
CORE = "spaniel"
IMPORT_LIMIT = 10.0


class Found(NamedTuple):
    """An entry point that offers a plugin.

    Attributes:
        name: name of the entry point.
        value: ``"module"`` or ``"module:attribute"``; a path for a plugin in one file.
        distribution: its distribution, in the form that package indexes compare names by.
        version: the distribution's version.
        problem: what is wrong with the entry point itself, where something is.
    """

    name: str
    value: str
    distribution: str
    version: str
    problem: str = ""

    @property
    def key(self) -> str:
        """``distribution:name``."""
        return f"{self.distribution}:{self.name}"

    def is_called(self, names: set[str]) -> bool:
        """Whether one of ``names`` is the plugin's own or its distribution's."""
        return self.name in names or any(canonical(name) == self.distribution for name in names)


def canonical(distribution: str) -> str:
    """Return a distribution's name in the form that names are compared by."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def find_entry_points() -> list[Found]:
    """Return the plugins of all installed distributions: the core's first, then by distribution and name."""
    import importlib_metadata

    found: dict[tuple[bool, str, str], Found] = {}
    seen: set[str] = set()
    for distribution in importlib_metadata.distributions():
        try:
            declared = distribution.read_text("entry_points.txt")
        except UnicodeDecodeError:
            continue  # nobody can read its entry points, so it offers none
        if not declared or f"[{GROUP}]" not in declared:
            continue
        name, version = _identity(distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "")
        if name in seen:
            continue  # another copy, behind the one that Python imports
        seen.add(name)
        try:
            entries = [
                (e.name, e.value.partition("[")[0].strip()) for e in distribution.entry_points if e.group == GROUP
            ]
            problem = ""
        except (TypeError, ValueError) as error:
            entries, problem = [(name, "")], f"its entry_points.txt is malformed ({error})"
        for plugin, value in entries:
            found[name != CORE, name, plugin] = Found(plugin, value, name, version, problem)
    return [found[key] for key in sorted(found)]


def _identity(metadata: str) -> tuple[str, str]:
    # The library's own `name` and `version` parse the whole file as an e-mail, which is a third of the start-up.
    fields: dict[str, str] = {}
    for line in metadata.splitlines():
        field, _, value = line.partition(":")
        if field in ("Name", "Version"):
            fields[field] = value.strip()
        if not line or len(fields) == 2:
            break
    return canonical(fields.get("Name", "unknown")), fields.get("Version", "unknown")


def import_limit() -> float:
    """Return the seconds that one plugin may take: ``SPANIEL_IMPORT_LIMIT``, else 10."""
    text = os.environ.get("SPANIEL_IMPORT_LIMIT")
    if text is None:
        return IMPORT_LIMIT
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"SPANIEL_IMPORT_LIMIT must be a number of seconds above 0, not {text!r}")
    return seconds


def import_plugin(found: Found) -> Any:
    """Import a plugin's module, or the attribute of it that the entry point names.

    Raises:
        BaseException: whatever the import raises.
    """
    if found.problem:
        raise Faulty("entry point", found.problem)
    if found.value.endswith(".py"):
        return _import_file(found.value)
    module_name, _, attribute = found.value.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise Faulty("entry point", f"its entry point `{found.value}` is no path as in `package.module`")
    __import__(module_name)
    plugin: Any = sys.modules[module_name]
    for part in attribute.split(".") if attribute else ():
        if not hasattr(plugin, part):
            what = f"its entry point `{found.value}` does not exist"
            raise Faulty("entry point", f"{what}: {module_name} has no `{part}`")
        plugin = getattr(plugin, part)
    return plugin


def file_plugin(path: str) -> Found:
    """Return a plugin in one Python file.

    Raises:
        UsageError: there is no such file.
    """
    from pathlib import Path

    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(f"--plugin {path}: there is no such Python file")
    if not file.stem.replace("-", "_").isidentifier():
        raise UsageError(f"--plugin {path}: the file needs the name of a module, as in my_plugin.py")
    return Found(file.stem, str(file.resolve()), canonical(file.stem), "0")


def _import_file(path: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    # The module goes by the name of the file, so that its strings can say "my_plugin:Class".
    name = Path(path).stem.replace("-", "_")
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == path:
        return loaded
    if loaded is not None:
        raise Faulty("import", f"there is a module `{name}` already; rename the file")
    spec = spec_from_file_location(name, path)
    assert spec is not None  # the suffix is .py
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def within_limits(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer than ``seconds``, or would end the process, and keep its prints out of standard output.

    Only the main thread can be interrupted, and only where there are signals; elsewhere there is no limit. The user's
    own interruption comes as :class:`Interrupted`, so that a plugin's ``raise KeyboardInterrupt`` is not taken for it.
    """
    import signal
    import threading

    output, sys.stdout = sys.stdout, sys.stderr
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        try:
            with _not_ended():
                yield
        finally:
            sys.stdout = output
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeLimit(f"it takes longer than {seconds:g} s (SPANIEL_IMPORT_LIMIT)")

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    handler = signal.signal(signal.SIGALRM, stop)
    if is_default:
        signal.signal(signal.SIGINT, interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with _not_ended():
            yield
    finally:
        spent = seconds - signal.setitimer(signal.ITIMER_REAL, 0)[0]
        signal.signal(signal.SIGALRM, handler)
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if left:  # an alarm that somebody else had set still comes
            signal.setitimer(signal.ITIMER_REAL, max(left - spent, 1e-3), interval)
        sys.stdout = output


@contextmanager
def _not_ended() -> Iterator[None]:
    """Raise :class:`Ended` where this thread would end the process at once, so that the plugin can be named."""
    from threading import get_ident

    process, thread = os.getpid(), get_ident()
    ends: dict[str, Any] = {"_exit": os._exit, "abort": os.abort}

    def end(name: str, *given: Any) -> NoReturn:
        if (os.getpid(), get_ident()) != (process, thread):
            ends[name](*given)  # a child that was forked ends as it likes
        raise Ended(f"os.{name}({', '.join(map(repr, given))})")

    os._exit = lambda status: end("_exit", status)
    os.abort = lambda: end("abort")
    try:
        yield
    finally:
        os._exit, os.abort = ends["_exit"], ends["abort"]


@contextmanager
def crashes_shown() -> Iterator[None]:
    """Have Python say where it was when code in C crashes, which shows the plugin that was being imported."""
    import faulthandler

    before = faulthandler.is_enabled()
    try:
        faulthandler.enable(sys.__stderr__)  # type: ignore[arg-type]
    except (AttributeError, OSError, ValueError, RuntimeError):
        yield  # there is no standard error to say it on
        return
    try:
        yield
    finally:
        if not before:
            faulthandler.disable()

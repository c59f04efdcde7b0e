"""What is wrong with a plugin, in words that name the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from spaniel.plugins.discovery import Found


class Fault(NamedTuple):
    """What is wrong with a plugin.

    Attributes:
        stage: at which step it showed: ``"import"``, ``"version"``, the name of a hook, ``"config"``, ``"factory"`` …
        reason: why, in one line.
        error: the exception, where there was one in this process.
        trace: the traceback as text, where the exception was in another process.
    """

    stage: str
    reason: str
    error: BaseException | None = None
    trace: str = ""

    @property
    def traceback(self) -> str:
        """The traceback without the frames of the import system; empty where there was no exception."""
        if self.error is None:
            return self.trace
        from traceback import TracebackException

        shown = TracebackException.from_exception(self.error)
        shown.stack[:] = [frame for frame in shown.stack if not frame.filename.startswith("<frozen importlib")]
        return "".join(shown.format())


class Faulty(Exception):
    """Raised inside the registry for a declaration that breaks the contract."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


class TimeLimit(BaseException):
    """A plugin took too long; a BaseException, so that no plugin's own ``except Exception`` stops it."""


class Ended(BaseException):
    """A plugin wanted to end the process without a word, as ``os._exit(3)`` does; no plugin's ``except Exception`` stops it."""


class Interrupted(KeyboardInterrupt):
    """The user interrupted what a plugin was doing, which the plugin's own ``raise KeyboardInterrupt`` is not."""


def import_fault(found: Found, error: BaseException) -> Fault:
    """Say what went wrong while a plugin's module was imported."""
    module = found.value.partition(":")[0]
    if isinstance(error, Faulty):
        return Fault(error.stage, str(error))
    if isinstance(error, TimeLimit):
        return Fault("import", f"endless import: {error}", error)
    if isinstance(error, SystemExit):
        return Fault("import", f"it calls sys.exit({error.code!r}) when imported", error)
    if isinstance(error, Ended):
        return Fault("import", f"it calls {error} when imported", error)
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        reason = f"its entry point `{found.value}` does not exist: there is no module {error.name}"
        return Fault("entry point", reason, error)
    return Fault("import", f"import error: {one_line(error)}", error)


def hook_fault(hook: str, error: BaseException) -> Fault:
    """Say what went wrong while a hook of a plugin was called."""
    if isinstance(error, Faulty):
        return Fault(error.stage, str(error))
    if isinstance(error, TimeLimit):
        return Fault(hook, f"endless hook `{hook}`: {error}", error)
    if isinstance(error, SystemExit):
        return Fault(hook, f"hook `{hook}` calls sys.exit({error.code!r})", error)
    if isinstance(error, Ended):
        return Fault(hook, f"hook `{hook}` calls {error}", error)
    return Fault(hook, f"error inside hook `{hook}`: {one_line(error)}", error)


def one_line(error: BaseException) -> str:
    """Return the exception's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

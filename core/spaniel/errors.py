"""The three errors of Spaniel: the user's, a plugin's, and damage."""

from __future__ import annotations

from os import PathLike, fspath


class SpanielError(Exception):
    """What the three errors have in common; only they come out of Spaniel."""


class UsageError(SpanielError):
    """The user's mistake: the message says what was given, what is allowed, and where."""


class PluginError(SpanielError):
    """A plugin's fault: names its distribution and keeps the original exception as ``__cause__``."""

    def __init__(self, distribution: str, message: str) -> None:
        super().__init__(f"{distribution}: {message}")
        self.distribution = distribution


class ArtifactError(SpanielError):
    """Damage on disk: names the file and the way out."""

    def __init__(self, path: str | PathLike[str], message: str) -> None:
        super().__init__(f"{fspath(path)}: {message}")
        self.path = fspath(path)

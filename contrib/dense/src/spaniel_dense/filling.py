"""Engines that are being filled, written now and then, so that a build that was killed goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from spaniel import ArtifactError

if TYPE_CHECKING:
    from spaniel.store import Draft

    from spaniel_dense.engine import Engine

EVERY = 60.0
"""Seconds between two times that an engine is written while it is filled; a kill loses at most so much, and one block."""
_NAME = "filling-"


class Filling:
    """Where an unfinished engine is kept in a draft: a folder that is named by how many vectors it holds.

    Args:
        draft: the draft of the index.
        engine: what is filled.
        advance: is told how many vectors were taken in.
    """

    def __init__(self, draft: Draft, engine: Engine, advance: Callable[[int], None]) -> None:
        self.done = 0
        self._draft, self._engine, self._advance = draft, engine, advance
        self._written = time.monotonic()
        if engine.grows:
            self._resume()

    def advance(self, count: int) -> None:
        """Report that so many vectors more are in, and write the engine where that is due."""
        self.done += count
        self._advance(count)
        if self._engine.grows and time.monotonic() - self._written >= EVERY:
            folder = self._draft.file(f"{_NAME}{self.done}")
            folder.mkdir(exist_ok=True)
            self._engine.write(folder)
            self._draft.finish(folder.name)
            self._remove(besides=folder)
            self._written = time.monotonic()

    def finish(self) -> None:
        """Remove what was kept."""
        self._remove(besides=None)

    def _resume(self) -> None:
        for folder in sorted(self._draft.path.glob(f"{_NAME}*"), key=_held, reverse=True):
            if self._draft.done(folder.name):
                try:
                    self._engine.read(folder)
                except ArtifactError:
                    continue
                self.done = _held(folder)
                self._advance(self.done)
                return

    def _remove(self, besides: Path | None) -> None:
        for folder in self._draft.path.glob(f"{_NAME}*"):
            if folder != besides:
                shutil.rmtree(folder)


def _held(folder: Path) -> int:
    count = folder.name.removeprefix(_NAME)
    return int(count) if count.isdecimal() else 0

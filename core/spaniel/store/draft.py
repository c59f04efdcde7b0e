"""Drafts: artifacts that are being built."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from spaniel.errors import UsageError
from spaniel.store.artifact import MANIFEST, Artifact
from spaniel.store.digests import Advance
from spaniel.store.files import State, checked_name, is_settled, list_files, state, sync

JOURNAL = ".finished"

Progress = Callable[["int | None", str], Advance]


class Draft:
    """A folder in which an artifact is being built; what was finished in it outlives a kill and a power cut.

    The journal of finished parts lies in the folder itself, so that the two come and go together.

    Attributes:
        path: its folder.
        inputs: the opened artifacts of the need's inputs, in their order.
        info: what the builder notes; it goes to the manifest. It is not kept between attempts.
    """

    def __init__(self, path: Path, inputs: tuple[Artifact, ...] = (), progress: Progress | None = None) -> None:
        self.path = path
        self.inputs = inputs
        self.info: dict[str, Any] = {}
        self._progress = progress
        self._journal = path / JOURNAL
        self._synced: dict[Path, State] = {}
        self._finished: set[str] = set()
        self._earlier = 0.0
        self._began = time.monotonic()
        self._resume()

    @property
    def seconds(self) -> float:
        """How long the build has taken: this attempt, and earlier ones up to the last that they recorded."""
        return self._earlier + time.monotonic() - self._began

    def file(self, name: str) -> Path:
        """Return the path for a file or folder of the artifact, its parent made.

        Raises:
            UsageError: the name is no plain relative one, or the store's own.
        """
        try:
            path = self.path / checked_name(name)
        except ValueError as error:
            raise UsageError(f"a file of an artifact: {error}") from None
        if name == MANIFEST:
            raise UsageError(f"a file of an artifact: {MANIFEST} is the store's own; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def done(self, part: str) -> bool:
        """Whether an earlier attempt, or this one, finished a part."""
        return part in self._finished

    def finish(self, part: str, *files: Path) -> None:
        """Record that a part is finished, once its files are on disk; they are not to be written to again.

        Args:
            files: the files of this part; by default every file written to since the last part was finished.

        Raises:
            OSError: the disk is full or failing; the part is not recorded.
        """
        touched: dict[Path, State | None] = dict.fromkeys(files) if files else self._touched()
        for file in touched:
            sync(file)
        for folder in {above for file in touched for above in file.parents if above.is_relative_to(self.path)}:
            sync(folder)
        self._synced.update({file: found for file, found in touched.items() if found and is_settled(found)})
        self._record(part)
        self._finished.add(part)

    def progress(self, total: int | None, unit: str) -> Advance:
        """Say how much there is to do; the returned function is told what has been done."""
        return self._progress(total, unit) if self._progress is not None else lambda done: None

    def pause(self) -> None:
        """Keep the time that this attempt took, for the next one to count on from."""
        # Only the measured time is lost where the disk that made the build stop refuses this line, too.
        with suppress(OSError):
            self._record(None)

    def _touched(self) -> dict[Path, State | None]:
        paths = [self.path / name for name in list_files(self.path, besides=(JOURNAL,))[0]]
        states: dict[Path, State | None] = {path: state(path) for path in paths}
        return {path: found for path, found in states.items() if self._synced.get(path) != found}

    def _record(self, part: str | None) -> None:
        new = not self._journal.exists()
        with self._journal.open("ab") as journal:
            journal.write(json.dumps([part, round(self.seconds, 3)]).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        if new:
            sync(self.path)

    def _resume(self) -> None:
        """Read the journal up to the first line that is not whole, and drop the rest."""
        if not self._journal.exists():
            return
        whole = 0
        with self._journal.open("r+b") as journal:
            for line in journal:
                try:
                    part, seconds = json.loads(line)
                    seconds = float(seconds)
                except (ValueError, TypeError):
                    break
                if not line.endswith(b"\n"):
                    break
                self._earlier = seconds
                if part is not None:
                    self._finished.add(str(part))
                whole += len(line)
            journal.truncate(whole)

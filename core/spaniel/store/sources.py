"""Digests of sources outside the store, remembered so that big ones are read once."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from spaniel.errors import UsageError
from spaniel.store.digests import Advance, canonical_json, digest_bytes, digest_files
from spaniel.store.files import State, is_settled, state

_ASK = 10_000
"""Paths in one question to the database."""


class Sources:
    """Digests of files by path, size, times and inode: in a small database, or in memory where none can be written."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._memory: dict[str, tuple[State, str]] = {}

    def digest(self, path: str | os.PathLike[str]) -> str:
        """Return the SHA-256 of a file, or one over the names and digests of all files in a folder, links followed.

        Raises:
            UsageError: there is no such file or folder, it cannot be read, or its links run in a circle.
        """
        source = Path(path)
        try:
            if source.is_dir():
                files = _files_under(source)
                names = [file.relative_to(source).as_posix() for file in files]
                return digest_bytes(canonical_json(list(zip(names, map(_found, self.digests(files)), strict=True))))
            if not source.is_file():
                raise UsageError(f"there is no file or folder {source}")
            return _found(self.digests([source])[0])
        except OSError as error:
            raise UsageError(f"{error.filename or source} cannot be read: {error.strerror}") from error

    def digests(self, files: Sequence[Path], advance: Advance | None = None) -> list[str | OSError]:
        """Return the SHA-256 of each file, or why it cannot be read; ``advance`` is told the bytes that were read."""
        keys: list[str | OSError] = []
        states: dict[str, State] = {}
        folders: dict[Path, Path] = {}
        for file in files:
            try:
                # Folders are resolved once: a folder of notes has many files. A link is known by what it leads to.
                key = str(_resolved(file.parent, folders) / file.name)
                states[key] = state(file)
                keys.append(key)
            except OSError as error:
                keys.append(error)
        known: dict[str, str | OSError] = {}
        known.update({key: digest for key, (found, digest) in self._recall([*states]).items() if found == states[key]})
        unread = [key for key in states if key not in known]
        known.update(zip(unread, digest_files([Path(key) for key in unread], advance), strict=True))
        read = {key: (states[key], known[key]) for key in unread if is_settled(states[key])}
        self._remember({key: (found, digest) for key, (found, digest) in read.items() if isinstance(digest, str)})
        return [key if isinstance(key, OSError) else known[key] for key in keys]

    def _recall(self, keys: list[str]) -> dict[str, tuple[State, str]]:
        found = {key: self._memory[key] for key in keys if key in self._memory}
        if len(found) < len(keys) and self._database.exists():
            try:
                names = {_text(key): key for key in keys}
                asked = [*names]
                with closing(sqlite3.connect(self._database, timeout=30)) as known:
                    for start in range(0, len(asked), _ASK):
                        sql = "SELECT path, state, digest FROM sources WHERE path IN (SELECT value FROM json_each(?))"
                        for name, kept, digest in known.execute(sql, (json.dumps(asked[start : start + _ASK]),)):
                            found[names[name]] = tuple(json.loads(kept)), str(digest)
            except (sqlite3.Error, ValueError, TypeError):
                return found  # what cannot be recalled is read
        return found

    def _remember(self, digests: dict[str, tuple[State, str]]) -> None:
        if not digests:
            return
        self._memory.update(digests)
        try:
            self._database.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._database, timeout=30)) as known, known:
                known.execute("CREATE TABLE IF NOT EXISTS sources (path TEXT PRIMARY KEY, state TEXT, digest TEXT)")
                rows = [(_text(key), json.dumps(found), digest) for key, (found, digest) in digests.items()]
                known.executemany("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", rows)
        except (OSError, sqlite3.Error):
            return  # a store that cannot be written remembers in memory only


def _resolved(folder: Path, known: dict[Path, Path]) -> Path:
    if folder not in known:
        known[folder] = folder.resolve()
    return known[folder]


def _found(digest: str | OSError) -> str:
    if isinstance(digest, OSError):
        raise digest
    return digest


def _text(path: str) -> str:
    """Return a path as a database can hold it: names need not be UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _files_under(folder: Path) -> list[Path]:
    files: list[Path] = []
    above: dict[str, frozenset[str]] = {str(folder): frozenset()}

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        here = os.path.realpath(place)
        if here in above[place]:
            raise UsageError(f"the folder {place} holds itself by a symbolic link")
        for name in folders:
            above[os.path.join(place, name)] = above[place] | {here}  # noqa: PTH118
        files.extend(Path(place, name) for name in names if Path(place, name).is_file())
    return sorted(files)

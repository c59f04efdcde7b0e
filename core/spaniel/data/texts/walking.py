"""The files of a folder, and what of it is passed over."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.errors import UsageError

MAX_FILES = 1_000_000
KEPT = 100
"""Names of a reason that are kept."""


class File(NamedTuple):
    """A file with its name relative to the folder, as the file system has it, and its size in bytes."""

    path: Path
    name: str
    size: int

    @property
    def ending(self) -> str:
        """The last ending, in lower case; nothing where the name has none."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122


class PassedOver:
    """Counts what is not read by its reason, and keeps the first names of each."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def add(self, name: str, why: str) -> None:
        """Take note of a file, or of a part of one."""
        self._counts[why] = self._counts.get(why, 0) + 1
        names = self._names.setdefault(why, [])
        if len(names) < KEPT:
            names.append(name)

    def join(self, other: PassedOver) -> None:
        """Add what another one has."""
        for why, count in other._counts.items():
            self._counts[why] = self._counts.get(why, 0) + count
            self._names[why] = (self._names.get(why, []) + other._names[why])[:KEPT]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> PassedOver:
        """Return what :meth:`to_json` made plain data of."""
        made = cls()
        for one in data:
            made._counts[one["why"]], made._names[one["why"]] = one["files"], [*one["first"]]
        return made

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain data: reason, number of files, the first names."""
        return [{"why": why, "files": count, "first": self._names[why]} for why, count in sorted(self._counts.items())]


def as_id(name: str) -> str:
    """Return a file's name as an id: what ids cannot hold is written as in URLs, bytes that are no UTF-8 among it.

    ``%`` and ``#`` are written so only where they could be taken for such a byte or for the number of a part.
    """
    name = re.sub("%(?=[0-9A-Fa-f]{2})", "%25", name)
    name = re.sub("#(?=[0-9])", "%23", name)
    name = re.sub(r"^ | $", "%20", name)
    return "".join(c if c.isprintable() and (c == " " or not c.isspace()) else _bytes(c) for c in name)


def _bytes(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))


def walk(folder: Path) -> tuple[list[File], PassedOver]:
    """Return the files under a folder, sorted by name.

    Links, hidden files and folders, and what is no file are passed over, and so is a folder that cannot be listed.

    Raises:
        UsageError: there are more than :data:`MAX_FILES` files, or the folder itself cannot be listed.
    """
    files: list[File] = []
    passed = PassedOver()
    folders = [(folder, "")]
    while folders:
        place, above = folders.pop()
        try:
            with os.scandir(place) as entries:
                listed = sorted(itertools.islice(entries, MAX_FILES + 1), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if not above:
                raise UsageError(f"{folder} cannot be read: {error.strerror}") from error
            passed.add(as_id(above), f"cannot be read ({error.strerror})")
            continue
        for entry in listed:
            _sort_in(entry, above + entry.name, files, folders, passed)
        if max(len(files), len(listed)) > MAX_FILES:
            raise UsageError(f"{folder} has more than {MAX_FILES} files; choose a folder inside it")
    return sorted(files, key=lambda file: os.fsencode(file.name)), passed


def _sort_in(
    entry: os.DirEntry[str], name: str, files: list[File], folders: list[tuple[Path, str]], passed: PassedOver
) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        passed.add(as_id(name), f"cannot be read ({error.strerror})")
        return
    if entry.name.startswith("."):
        passed.add(as_id(name), "hidden")
    elif stat.S_ISLNK(found.st_mode):
        passed.add(as_id(name), "a link")
    elif stat.S_ISDIR(found.st_mode):
        folders.append((Path(entry.path), f"{name}/"))
    elif not stat.S_ISREG(found.st_mode):
        passed.add(as_id(name), "no ordinary file")
    else:
        files.append(File(Path(entry.path), name, found.st_size))


def read_bytes(file: File, most: int) -> bytes:
    """Return the bytes of a file; one that became a link or a pipe since it was found is not followed.

    Raises:
        OSError: it cannot be read, or has more than ``most`` bytes by now.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(file.path, flags), "rb") as opened:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError("is no ordinary file")
        data = opened.read(most + 1)
    if len(data) > most:
        raise OSError(f"has more than {most} bytes")
    return data

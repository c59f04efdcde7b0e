"""What the store asks of the file system: plain names, synced files, and disk errors that say the way out."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaniel.errors import ArtifactError

NAME_LENGTH = 100
"""Longest name of a file of an artifact, so that every tar format holds it in one header."""
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_ROOM = 2**20
_SETTLED = 2 * 10**9

State = tuple[int, int, int, int]
"""Size, times of last modification and change in nanoseconds, inode."""


def checked_name(name: str) -> str:
    """Return a relative file name of plain parts: letters, digits, ``_``, ``-``, ``.``, no part that begins with a dot.

    Raises:
        ValueError: it is absolute, climbs, is too long, or has other characters.
    """
    if len(name) > NAME_LENGTH or not all(_PART.fullmatch(part) for part in name.split("/")):
        allowed = f"at most {NAME_LENGTH} letters, digits, `_`, `-`, `.`"
        raise ValueError(f"{name[: 2 * NAME_LENGTH]!r} is no plain relative name: {allowed}")
    return name


def list_files(folder: Path, besides: tuple[str, ...] = ()) -> tuple[list[str], list[tuple[Path, str]]]:
    """Return the sorted relative names of the files under a folder, and what is no plain file there, with the reason.

    Raises:
        OSError: a folder cannot be read.
    """
    names: list[str] = []
    odd: list[tuple[Path, str]] = []
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                name = path.relative_to(folder).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif not entry.is_file(follow_symlinks=False):
                    odd.append((path, "is no plain file"))
                elif name not in besides:
                    try:
                        names.append(checked_name(name))
                    except ValueError as error:
                        odd.append((path, f"is oddly named: {error}"))
    return sorted(names), sorted(odd)


def state(path: Path) -> State:
    """Return what differs once a file has been written to or replaced."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def is_settled(found: State) -> bool:
    """Whether a file was left alone for so long that another write is certain to show in its times.

    The coarsest file systems keep times to two seconds.
    """
    return time.time_ns() - max(found[1], found[2]) > _SETTLED


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders; its renames are journalled
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until everything under a folder is on disk, then the folder itself."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that others see all of it or what was there before."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        draft.write_bytes(data)
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def is_disk_failure(error: OSError, folder: Path) -> bool:
    """Whether an error of a builder is the disk's and not its own.

    numpy reports a short write without an error number, so one without a number counts where the disk has no room.
    """
    if error.errno is None:
        return free_bytes(folder) < _ROOM
    return error.errno in (*_FULL, errno.EIO)


def free_bytes(path: Path) -> int:
    """Return how many bytes can still be written to the disk of a path, which need not be there yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def explain(error: OSError, folder: Path, then: str) -> ArtifactError:
    """Return a disk's error as one that names the place and the way out.

    Args:
        folder: where the store was at work; taken where the error names no file.
        then: what becomes of the work.
    """
    place = Path(error.filename) if isinstance(error.filename, str) else folder
    if error.errno in _FULL or error.errno is None:
        why = f"the disk is full ({free_bytes(place)} bytes are free): free some, or set SPANIEL_STORE to another disk"
    elif error.errno in _CLOSED:
        why = f"the store cannot be written ({error.strerror}): set SPANIEL_STORE to a folder that can be"
    else:
        why = f"{error.strerror or error}: check the disk, then try again"
    return ArtifactError(place, f"{why}; {then}")


@contextmanager
def explained(folder: Path, then: str = "nothing was changed") -> Iterator[None]:
    """Turn the disk's errors into :class:`ArtifactError`."""
    try:
        yield
    except OSError as error:
        raise explain(error, folder, then) from error

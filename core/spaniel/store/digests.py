"""Digests of values and files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

BLOCK = 2**20

Advance = Callable[[int], None]
"""Is told how many bytes, documents or the like were done since the last call."""


def canonical_json(value: Any) -> bytes:
    """Return the one JSON form of a value: sorted keys, no white space, UTF-8.

    Raises:
        ValueError: a number is not finite.
        TypeError: the value has no JSON form.
    """
    return _JSON.encode(value).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} has no JSON form")


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: str | os.PathLike[str], advance: Advance | None = None) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK))
    with Path(path).open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(block[:size])
            if advance is not None:
                advance(size)
    return digest.hexdigest()


def digest_files(paths: Sequence[Path], advance: Advance | None = None) -> list[str | OSError]:
    """Return the SHA-256 of each file, or why it cannot be read.

    Files are hashed side by side, since hashing releases the interpreter's lock; ``advance`` is called by one thread at
    a time.
    """
    guard = Lock()

    def report(size: int) -> None:
        with guard:
            if advance is not None:
                advance(size)

    def digest(path: Path) -> str | OSError:
        try:
            return digest_file(path, report)
        except OSError as error:
            return error

    if len(paths) < 2:
        return [digest(path) for path in paths]
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1, 16)) as pool:
        return list(pool.map(digest, paths))

"""Digests of values, files and folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return the one JSON form of a value: sorted keys, no white space, UTF-8.

    Raises:
        ValueError: a number is not finite.
        TypeError: the value has no JSON form.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of several files, hashed side by side (hashing releases the interpreter's lock)."""
    paths = list(paths)
    if len(paths) < 2:
        return [digest_file(path) for path in paths]
    with ThreadPoolExecutor(min(8, len(paths))) as pool:
        return list(pool.map(digest_file, paths))

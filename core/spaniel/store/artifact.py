"""Artifacts, which are finished, and drafts, which are being built."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from spaniel.errors import ArtifactError, UsageError
from spaniel.store.digests import canonical_json, digest_bytes
from spaniel.store.recipe import FORMAT, Recipe

MANIFEST = "manifest.json"
JOURNAL = ".finished"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REMEDY = "remove it with `spaniel store remove` and build it again"

Progress = Callable[["int | None", str], Callable[[int], None]]


def checked_name(name: str) -> str:
    """Return a relative file name of plain parts.

    Raises:
        ValueError: it is absolute, climbs, or has odd characters.
    """
    parts = PurePosixPath(name).parts
    if not parts or "/".join(parts) != name or not all(_NAME.fullmatch(part) for part in parts):
        raise ValueError(f"{name!r} is no plain relative file name")
    return name


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 of one file of an artifact."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """A finished artifact, verified when it was opened.

    Attributes:
        path: its folder.
        recipe: what made it.
        info: what its builder noted.
        files: relative name → size and digest.
        seconds: how long its build took, over all attempts that led to it.
    """

    path: Path
    recipe: Recipe
    info: Mapping[str, Any]
    files: Mapping[str, FileEntry]
    seconds: float

    @property
    def address(self) -> str:
        return self.recipe.address

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry in self.files.values())

    def file(self, name: str) -> Path:
        """Return the path of one of its files.

        Raises:
            ArtifactError: it has no such file.
        """
        if name not in self.files:
            raise ArtifactError(self.path, f"has no file {name!r}; {_REMEDY}")
        return self.path / name


class Draft:
    """A folder in which an artifact is being built; what was finished in it outlives a kill.

    Attributes:
        path: its folder.
        inputs: the opened artifacts of the need's inputs, in their order.
        info: what the builder notes; it goes to the manifest.
    """

    def __init__(self, path: Path, inputs: tuple[Artifact, ...] = (), progress: Progress | None = None) -> None:
        self.path = path
        self.inputs = inputs
        self.info: dict[str, Any] = {}
        self._progress = progress
        self._journal = path / JOURNAL
        self._finished = set(self._journal.read_text().split("\n")) if self._journal.is_file() else set()

    def file(self, name: str) -> Path:
        """Return the path for a file or folder of the artifact, its parent made.

        Raises:
            UsageError: the name is no plain relative one.
        """
        try:
            path = self.path / checked_name(name)
        except ValueError as error:
            raise UsageError(f"a file of an artifact: {error}") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def done(self, part: str) -> bool:
        """Whether an earlier attempt, or this one, finished a part."""
        return part in self._finished

    def finish(self, part: str, *files: Path) -> None:
        """Record that a part is finished, after its files (by default all files of the draft) are on disk."""
        for file in files or _walk(self.path):
            sync(file)
        with self._journal.open("a") as journal:
            journal.write(f"{part}\n")
            journal.flush()
            os.fsync(journal.fileno())
        sync(self.path)
        self._finished.add(part)

    def progress(self, total: int | None, unit: str) -> Callable[[int], None]:
        """Say how much there is to do; the returned function is told what has been done."""
        return self._progress(total, unit) if self._progress is not None else lambda done: None


def _walk(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def list_files(folder: Path) -> list[str]:
    """Return the names of an artifact's files under a folder, manifest and journal left out.

    Raises:
        ArtifactError: something there is no plain file, or has an odd name.
    """
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(path, f"is no plain file; {_REMEDY}")
        if name in (MANIFEST, JOURNAL) or path.is_dir():
            continue
        try:
            names.append(checked_name(name))
        except ValueError as error:
            raise ArtifactError(path, f"{error}; {_REMEDY}") from None
    return names


def write_manifest(
    folder: Path, recipe: Recipe, info: Mapping[str, Any], files: Mapping[str, FileEntry], seconds: float
) -> None:
    """Write the manifest, with its own digest inside."""
    content = {
        "format": FORMAT,
        "address": recipe.address,
        "recipe": recipe.to_json(),
        "info": dict(info),
        "files": {name: {"bytes": e.bytes, "sha256": e.sha256} for name, e in files.items()},
        "seconds": round(seconds, 6),
    }
    content["digest"] = digest_bytes(canonical_json(content))
    path = folder / MANIFEST
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    sync(path)


def read_manifest(folder: Path) -> Artifact:
    """Read an artifact's manifest; its files are not looked at.

    Raises:
        ArtifactError: the manifest is missing, damaged, or of another format.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is no mapping")
        if content.get("format") != FORMAT:
            raise ArtifactError(path, f"has format {content.get('format')!r}; this version reads {FORMAT}: {_REMEDY}")
        stated = content.pop("digest", None)
        if stated != digest_bytes(canonical_json(content)):
            raise ValueError("its digest is another")
        recipe = Recipe.from_json(content["recipe"])
        if content["address"] != recipe.address:
            raise ValueError("its address is not that of its recipe")
        files = {checked_name(name): FileEntry(int(e["bytes"]), str(e["sha256"])) for name, e in content["files"].items()}
        return Artifact(folder, recipe, dict(content["info"]), files, float(content["seconds"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(path, f"is damaged ({type(error).__name__}: {error}); {_REMEDY}") from error

"""Artifacts and their manifests."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from spaniel.errors import ArtifactError, UsageError
from spaniel.store.digests import canonical_json, digest_bytes
from spaniel.store.files import checked_name
from spaniel.store.recipe import FORMAT, Recipe

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 2**26
_FIELDS = {"format", "address", "recipe", "info", "files", "seconds"}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 of one file of an artifact."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """A finished artifact, verified when the store opened it.

    Attributes:
        path: its folder.
        recipe: what made it.
        info: what its builder noted.
        files: relative name → size and digest.
        seconds: how long its build took, what earlier attempts contributed included.
    """

    path: Path
    recipe: Recipe
    info: Mapping[str, Any]
    files: Mapping[str, FileEntry]
    seconds: float

    def __repr__(self) -> str:
        recipe = self.recipe
        what = f"{recipe.type} {recipe.component} {recipe.version}, {len(self.files)} files, {self.bytes} bytes"
        return f"Artifact({what}, {str(self.path)!r})"

    @property
    def address(self) -> str:
        """Digest of the recipe."""
        return self.recipe.address

    @property
    def bytes(self) -> int:
        """Size of all files, the manifest not counted."""
        return sum(entry.bytes for entry in self.files.values())

    def file(self, name: str) -> Path:
        """Return the path of one of its files.

        Raises:
            ArtifactError: it has no such file.
        """
        if name not in self.files:
            raise ArtifactError(self.path, f"has no file {name!r}; {way_out(self.path)}")
        return self.path / name


def way_out(folder: Path) -> str:
    """Return what to do about a damaged artifact."""
    return f"remove it with `spaniel store remove {folder.name[:12]}` and build it again"


def render_manifest(artifact: Artifact) -> bytes:
    """Return an artifact's manifest, with its own digest inside.

    Raises:
        TypeError, ValueError: the info has no JSON form.
    """
    content = {
        "format": FORMAT,
        "address": artifact.address,
        "recipe": artifact.recipe.to_json(),
        "info": json.loads(canonical_json(artifact.info)),
        "files": {name: {"bytes": e.bytes, "sha256": e.sha256} for name, e in sorted(artifact.files.items())},
        "seconds": round(artifact.seconds, 6),
    }
    return _sealed(content)


def _sealed(content: dict[str, Any]) -> bytes:
    whole = {**content, "digest": digest_bytes(canonical_json(content))}
    text = json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def parse_manifest(data: bytes, folder: Path) -> Artifact:
    """Return the artifact that a manifest describes; its files are not looked at.

    Raises:
        ValueError: the manifest is damaged, or of another format.
    """
    try:
        content = json.loads(data)
        if not isinstance(content, dict) or "format" not in content:
            raise ValueError("it is no manifest")
        if content["format"] != FORMAT:
            raise ValueError(f"it has format {content['format']!r}, and this version of Spaniel reads {FORMAT}")
        content.pop("digest", None)
        # The bytes themselves are compared, so that not even white space can change unseen.
        if set(content) != _FIELDS or _sealed(content) != data:
            raise ValueError("its digest is another")
        artifact = Artifact(
            folder, Recipe.from_json(content["recipe"]), content["info"], _files(content["files"]), content["seconds"]
        )
        if content["address"] != artifact.address:
            raise ValueError("its address is not that of its recipe")
        if type(artifact.seconds) not in (int, float) or not 0 <= artifact.seconds < math.inf:
            raise ValueError("its time is no number of seconds")
        if not isinstance(artifact.info, dict):
            raise ValueError("its info is no mapping")
    except (ValueError, RecursionError, UsageError) as error:
        raise ValueError(f"the manifest cannot be used: {error}") from error
    return artifact


def _files(content: Any) -> dict[str, FileEntry]:
    if not isinstance(content, dict):
        raise ValueError("its files are no mapping")
    for name, entry in content.items():
        checked_name(name)
        if name == MANIFEST or any(parent.as_posix() in content for parent in PurePosixPath(name).parents):
            raise ValueError(f"it lists {name!r}, which another file stands in the way of")
        if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
            raise ValueError(f"what it says of {name!r} is no size and digest")
        size, digest = entry["bytes"], entry["sha256"]
        if type(size) is not int or size < 0 or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"what it says of {name!r} is no size and digest")
    return {name: FileEntry(**entry) for name, entry in sorted(content.items())}


def read_manifest(folder: Path) -> Artifact:
    """Read the manifest of an artifact in a store; its files are not looked at.

    Raises:
        ArtifactError: the manifest is missing, damaged, of another format, or of another artifact.
    """
    path = folder / MANIFEST
    try:
        if folder.is_symlink() or path.is_symlink():
            raise ValueError("it is a symbolic link")
        with path.open("rb") as file:
            data = file.read(MANIFEST_LIMIT + 1)
        if len(data) > MANIFEST_LIMIT:
            raise ValueError(f"the manifest is larger than {MANIFEST_LIMIT} bytes")
        artifact = parse_manifest(data, folder)
        if artifact.address != folder.name:
            raise ValueError(f"it belongs to artifact {artifact.address}")
    except OSError as error:
        raise ArtifactError(path, f"cannot be read ({error.strerror}); {way_out(folder)}") from error
    except ValueError as error:
        raise ArtifactError(path, f"{error}; {way_out(folder)}") from error
    return artifact

"""Finding damage: every file's size and digest, and what was verified before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from spaniel.errors import ArtifactError
from spaniel.store.artifact import MANIFEST, Artifact, way_out
from spaniel.store.digests import Advance, digest_files
from spaniel.store.draft import JOURNAL
from spaniel.store.files import State, list_files, state, write_whole

_verified: dict[Path, dict[str, State]] = {}
"""What this process knows as verified: folder of an artifact → file → its state when it was read."""


def find_faults(
    artifact: Artifact, known: Mapping[str, State], advance: Advance | None = None
) -> tuple[list[ArtifactError], dict[str, State]]:
    """Return what is wrong with an artifact's files, and the states of those that are as they should be.

    Args:
        known: states in which files were verified before; such a file is not read again.
        advance: is told the bytes that were read.
    """
    remedy = way_out(artifact.path)
    try:
        names, odd = list_files(artifact.path, besides=(MANIFEST, JOURNAL))
    except OSError as error:
        return [ArtifactError(error.filename, f"cannot be read ({error.strerror}); {remedy}")], {}
    faults = [ArtifactError(path, f"{why}; {remedy}") for path, why in odd]
    there = set(names)
    for name in sorted(there - artifact.files.keys()):
        faults.append(ArtifactError(artifact.path / name, f"does not belong to the artifact; {remedy}"))
    sound: dict[str, State] = {}
    unread: dict[str, State] = {}
    for name, entry in artifact.files.items():
        path = artifact.path / name
        if name not in there:
            faults.append(ArtifactError(path, f"is missing; {remedy}"))
            continue
        try:
            found = state(path)
        except OSError as error:
            faults.append(ArtifactError(path, f"cannot be read ({error.strerror}); {remedy}"))
            continue
        if found[0] != entry.bytes:
            faults.append(ArtifactError(path, f"has {found[0]} bytes instead of {entry.bytes}; {remedy}"))
        elif known.get(name) == found:
            sound[name] = found
        else:
            unread[name] = found
    digests = digest_files([artifact.path / name for name in unread], advance)
    for (name, found), digest in zip(unread.items(), digests, strict=True):
        path = artifact.path / name
        if isinstance(digest, OSError):
            faults.append(ArtifactError(path, f"cannot be read ({digest.strerror}); {remedy}"))
        elif digest != artifact.files[name].sha256:
            faults.append(ArtifactError(path, f"is damaged: its digest is another; {remedy}"))
        else:
            sound[name] = found
    return faults, sound


class Stamps:
    """States in which files were last verified: kept by the process, and on disk for artifacts above a size.

    Args:
        folder: where they are kept on disk.
        full_check: artifacts up to this many bytes are verified by every process that opens them.
    """

    def __init__(self, folder: Path, full_check: int) -> None:
        self.folder = folder
        self.full_check = full_check

    def read(self, artifact: Artifact) -> Mapping[str, State]:
        """Return the states in which an artifact's files were verified."""
        known = _verified.get(artifact.path)
        if known is not None or artifact.bytes <= self.full_check:
            return known or {}
        try:
            stored = json.loads(self._path(artifact.address).read_bytes())
            _verified[artifact.path] = {name: tuple(found) for name, found in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # what was not stamped is verified
        return _verified[artifact.path]

    def write(self, artifact: Artifact, states: dict[str, State]) -> None:
        """Remember the states in which an artifact's files were verified."""
        if _verified.get(artifact.path) == states:
            return
        _verified[artifact.path] = states
        if artifact.bytes > self.full_check:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_whole(self._path(artifact.address), json.dumps(states).encode())
            except OSError:
                return  # a store that cannot be written is verified by every process

    def forget(self, folder: Path) -> None:
        """Drop what is remembered of an artifact."""
        _verified.pop(folder, None)
        self._path(folder.name).unlink(missing_ok=True)

    def _path(self, address: str) -> Path:
        return self.folder / f"{address}.json"

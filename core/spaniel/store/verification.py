"""Finding damage: every file's size and digest, and what was verified before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from spaniel.errors import ArtifactError
from spaniel.store.artifact import MANIFEST, Artifact, render_manifest, way_out
from spaniel.store.digests import Advance, digest_bytes, digest_files
from spaniel.store.draft import JOURNAL
from spaniel.store.files import State, list_files, state, write_whole

_verified: dict[Path, dict[str, State]] = {}
"""What this process knows as verified: folder of an artifact → file → its state when it was read."""

_checked: dict[Path, tuple[str, frozenset[str]]] = {}
"""What this process knows as looked through: folder of an artifact → what it was then, and by whom."""


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

    def checkers(self, artifact: Artifact) -> frozenset[str]:
        """Return who looked through the contents of an artifact, as it now is, in this place."""
        seal = _seal(artifact)
        known = _checked.get(artifact.path)
        if known is not None and known[0] == seal:
            return known[1]
        try:
            stored = json.loads(self._contents_path(artifact.address).read_bytes())
            found = frozenset(map(str, stored["by"])) if stored["seal"] == seal else frozenset()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return frozenset()  # what was not stamped is looked through
        _checked[artifact.path] = (seal, found)
        return found

    def add_checker(self, artifact: Artifact, by: str) -> None:
        """Remember that the contents of an artifact were looked through."""
        checkers = self.checkers(artifact) | {by}
        seal = _seal(artifact)
        _checked[artifact.path] = (seal, checkers)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {"seal": seal, "by": sorted(checkers)}
            write_whole(self._contents_path(artifact.address), json.dumps(content).encode())
        except OSError:
            return  # a store that cannot be written is looked through by every process

    def forget(self, folder: Path) -> None:
        """Drop what is remembered of an artifact."""
        _verified.pop(folder, None)
        _checked.pop(folder, None)
        self._path(folder.name).unlink(missing_ok=True)
        self._contents_path(folder.name).unlink(missing_ok=True)

    def _path(self, address: str) -> Path:
        return self.folder / f"{address}.json"

    def _contents_path(self, address: str) -> Path:
        return self.folder / f"{address}.contents.json"


def _seal(artifact: Artifact) -> str:
    """Return what changes with any byte of an artifact, and with its place: a copied store is looked through again."""
    place = state(artifact.path / MANIFEST)
    return digest_bytes(render_manifest(artifact) + repr(place).encode())

"""The store itself: finding, building, listing, verifying and removing artifacts."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spaniel.errors import ArtifactError, SpanielError, UsageError
from spaniel.store.artifact import (
    JOURNAL,
    MANIFEST,
    Artifact,
    Draft,
    FileEntry,
    Progress,
    list_files,
    read_manifest,
    sync,
    write_manifest,
)
from spaniel.store.digests import digest_bytes, digest_file, digest_files
from spaniel.store.recipe import ADDRESS_LENGTH, Need, Recipe

FULL_CHECK = 2**30
_CLOCK = ".seconds"
_REMEDY = "remove it with `spaniel store remove` and build it again"


def default_root() -> Path:
    """Return the folder of the user's store: ``SPANIEL_STORE``, else where the platform keeps such things."""
    given = os.environ.get("SPANIEL_STORE")
    if given:
        return Path(given)
    from platformdirs import user_data_dir

    return Path(user_data_dir("spaniel")) / "store"


@dataclass(frozen=True)
class Entry:
    """What a store lists: an artifact, or the reason why there is none to open."""

    address: str
    path: Path
    artifact: Artifact | None
    fault: str = ""


class Store:
    """A folder of artifacts.

    Args:
        root: the folder; it is made when the first artifact is built.
        full_check: artifacts up to this many bytes are verified in full when a process first opens them; of larger ones a
            file is verified again only when its size, time or inode has changed since it last was.
    """

    def __init__(self, root: str | os.PathLike[str], full_check: int = FULL_CHECK) -> None:
        self.root = Path(root).expanduser().absolute()
        self.full_check = full_check
        self._verified: dict[str, Artifact] = {}

    # Finding

    def path_of(self, address: str) -> Path:
        """Return the folder of an artifact, there or not."""
        return self.root / "artifacts" / address

    def has(self, address: str) -> bool:
        """Whether an artifact is there; it is not verified."""
        return (self.path_of(address) / MANIFEST).is_file()

    def find(self, recipe: Recipe) -> Artifact | None:
        """Return the artifact of a recipe, verified, or ``None`` where there is none.

        Raises:
            ArtifactError: it is damaged; the message names the file.
        """
        return self.open(recipe.address) if self.path_of(recipe.address).is_dir() else None

    def open(self, address: str) -> Artifact:
        """Open an artifact by its address, verified once in the life of this object.

        Raises:
            ArtifactError: it is not there, or damaged; the message names the file.
        """
        if address not in self._verified or not self.has(address):
            artifact = read_manifest(self.path_of(address))
            if artifact.address != address:
                raise ArtifactError(artifact.path, f"holds another artifact, {artifact.address}; {_REMEDY}")
            faults = self._faults(artifact, in_full=artifact.bytes <= self.full_check)
            if faults:
                raise faults[0]
            self._verified[address] = artifact
        return self._verified[address]

    def resolve(self, prefix: str) -> str:
        """Return the one address that begins with ``prefix``.

        Raises:
            UsageError: none does, or several do.
        """
        found = [entry.address for entry in self.list() if entry.address.startswith(prefix)] if prefix else []
        if len(found) != 1:
            what = "no artifact" if not found else f"{len(found)} artifacts"
            raise UsageError(f"{what} in {self.root} begin{'s' if len(found) < 2 else ''} with {prefix!r}")
        return found[0]

    def list(self) -> Iterator[Entry]:
        """Yield every artifact by address; what cannot be read is listed with the reason."""
        folder = self.root / "artifacts"
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            try:
                yield Entry(path.name, path, read_manifest(path))
            except ArtifactError as error:
                yield Entry(path.name, path, None, str(error))

    def verify(self, address: str) -> list[ArtifactError]:
        """Read every byte of an artifact and return what is wrong with it."""
        try:
            artifact = read_manifest(self.path_of(address))
        except ArtifactError as error:
            return [error]
        return self._faults(artifact, in_full=True)

    # Building

    def obtain(self, need: Need, progress: Progress | None = None) -> Artifact:
        """Return the artifact of a need, building it and its inputs where they are not there.

        What ``need.build`` raises passes through; the draft stays, and the next attempt goes on with it.

        Raises:
            ArtifactError: an artifact is damaged, the disk is full, or the store cannot be written.
        """
        found = self.find(need.recipe)
        if found is not None:
            return found
        inputs = tuple(self.obtain(part, progress) for part in need.inputs)
        with self._lock(need.recipe.address):
            # Another process may have built it while this one waited.
            found = self.find(need.recipe)
            return found if found is not None else self._build(need, inputs, progress)

    def _build(self, need: Need, inputs: tuple[Artifact, ...], progress: Progress | None) -> Artifact:
        address = need.recipe.address
        folder = self.root / "drafts" / address
        started = time.perf_counter()
        spent = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            clock = folder / _CLOCK
            spent = _read_clock(clock)
            draft = Draft(folder, inputs, progress)
            try:
                need.build(draft)
            finally:
                clock.write_text(str(spent + time.perf_counter() - started))
            return self._publish(need.recipe, draft, spent + time.perf_counter() - started)
        except OSError as error:
            raise self._disk_error(folder, error) from error

    def _publish(self, recipe: Recipe, draft: Draft, seconds: float) -> Artifact:
        for name in (JOURNAL, _CLOCK):
            (draft.path / name).unlink(missing_ok=True)
        names = list_files(draft.path)
        paths = [draft.path / name for name in names]
        digests = digest_files(paths)
        files = {n: FileEntry(p.stat().st_size, d) for n, p, d in zip(names, paths, digests, strict=True)}
        for path in paths:
            sync(path)
        write_manifest(draft.path, recipe, draft.info, files, seconds)
        for folder in {path.parent for path in paths} | {draft.path}:
            sync(folder)
        target = self.path_of(recipe.address)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.path.rename(target)
        sync(target.parent)
        artifact = read_manifest(target)
        self._stamp(artifact)
        self._verified[recipe.address] = artifact
        return artifact

    def remove(self, address: str) -> None:
        """Remove an artifact, and a draft of it; a build that is going on is waited for."""
        with self._lock(address):
            self._verified.pop(address, None)
            target = self.path_of(address)
            if target.exists():
                # Renamed first, so that a removal that is interrupted leaves no half artifact behind.
                bin_ = self.root / "drafts" / f"{address}.removed"
                shutil.rmtree(bin_, ignore_errors=True)
                bin_.parent.mkdir(parents=True, exist_ok=True)
                target.rename(bin_)
                shutil.rmtree(bin_)
            shutil.rmtree(self.root / "drafts" / address, ignore_errors=True)

    def _lock(self, address: str) -> _Lock:
        return _Lock(self, address)

    def _disk_error(self, path: Path, error: OSError) -> SpanielError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.root).free if self.root.exists() else 0
            return ArtifactError(
                path,
                f"the disk is full ({free} bytes are free): free some, or set SPANIEL_STORE to another disk; "
                "the build goes on where it stopped",
            )
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return ArtifactError(
                self.root, f"the store cannot be written ({error.strerror}): set SPANIEL_STORE to a folder that can"
            )
        return ArtifactError(error.filename or path, f"{error.strerror or error}: check the disk, then try again")

    # Verifying

    def _faults(self, artifact: Artifact, in_full: bool) -> list[ArtifactError]:
        faults = []
        try:
            there = set(list_files(artifact.path))
        except ArtifactError as error:
            return [error]
        for name in sorted(there - artifact.files.keys()):
            faults.append(ArtifactError(artifact.path / name, f"does not belong to the artifact; {_REMEDY}"))
        suspects = []
        for name, entry in artifact.files.items():
            path = artifact.path / name
            if name not in there:
                faults.append(ArtifactError(path, f"is missing; {_REMEDY}"))
            elif path.stat().st_size != entry.bytes:
                faults.append(ArtifactError(path, f"has {path.stat().st_size} bytes, not {entry.bytes}; {_REMEDY}"))
            else:
                suspects.append(name)
        if not in_full:
            stamps = self._stamps(artifact)
            suspects = [name for name in suspects if stamps.get(name) != _state(artifact.path / name)]
        for name, digest in zip(suspects, digest_files([artifact.path / n for n in suspects]), strict=True):
            if digest != artifact.files[name].sha256:
                faults.append(ArtifactError(artifact.path / name, f"is damaged: its digest is another; {_REMEDY}"))
        if suspects and not faults and artifact.bytes > self.full_check:
            self._stamp(artifact)
        return faults

    def _stamp_file(self, artifact: Artifact) -> Path:
        return self.root / "stamps" / f"{artifact.address}.json"

    def _stamps(self, artifact: Artifact) -> dict[str, list[int]]:
        try:
            stamps = json.loads(self._stamp_file(artifact).read_text())
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _stamp(self, artifact: Artifact) -> None:
        if artifact.bytes <= self.full_check:
            return
        path = self._stamp_file(artifact)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({name: _state(artifact.path / name) for name in artifact.files}))
        except OSError:
            return  # a store that cannot be written is verified in full each time

    # Sources

    def digest_of(self, path: str | os.PathLike[str]) -> str:
        """Return the digest of a file, or of all files in a folder; a file that has not changed is read once.

        Raises:
            UsageError: there is no such file or folder.
        """
        source = Path(path)
        if source.is_dir():
            parts = sorted(p for p in source.rglob("*") if p.is_file())
            names = [f"{p.relative_to(source).as_posix()} {self.digest_of(p)}" for p in parts]
            return digest_bytes("\n".join(names).encode("utf-8", "surrogateescape"))
        if not source.is_file():
            raise UsageError(f"there is no file {source}")
        key, state = str(source.resolve()), json.dumps(_state(source))
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with sqlite3.connect(self.root / "sources.sqlite", timeout=30) as known:
                known.execute("CREATE TABLE IF NOT EXISTS sources (path TEXT PRIMARY KEY, state TEXT, digest TEXT)")
                row = known.execute("SELECT digest FROM sources WHERE path = ? AND state = ?", (key, state)).fetchone()
                if row is not None:
                    return str(row[0])
                digest = digest_file(source)
                known.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", (key, state, digest))
                return digest
        except (OSError, sqlite3.Error):
            return digest_file(source)  # a store that cannot be written remembers nothing


class _Lock:
    """The lock of one artifact, held across processes."""

    def __init__(self, store: Store, address: str) -> None:
        if len(address) > 2 * ADDRESS_LENGTH or "/" in address:
            raise UsageError(f"{address!r} is no address of an artifact")
        self._store = store
        self._path = store.root / "locks" / f"{address}.lock"

    def __enter__(self) -> None:
        from filelock import FileLock

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path)
            self._lock.acquire()
        except OSError as error:
            raise self._store._disk_error(self._path, error) from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _read_clock(path: Path) -> float:
    try:
        return max(0.0, float(path.read_text()))
    except (OSError, ValueError):
        return 0.0

"""Artifacts as tar files: the manifest first, then its files in its order, one plain header each."""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spaniel.errors import ArtifactError, UsageError
from spaniel.store.artifact import MANIFEST, MANIFEST_LIMIT, Artifact, parse_manifest, render_manifest, way_out
from spaniel.store.digests import BLOCK
from spaniel.store.files import explain, free_bytes, sync

_UNIT = tarfile.BLOCKSIZE


class _Digesting:
    """A file of an artifact that is digested as it is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise ArtifactError(self._path, f"cannot be read ({error.strerror})") from error
        self.sha256.update(data)
        return data


def write_archive(artifact: Artifact, target: Path) -> None:
    """Write an artifact to an uncompressed tar file, which appears whole; the same artifact gives the same bytes.

    Raises:
        ArtifactError: a file of the artifact is damaged, or the disk is full.
        UsageError: the target is there already, or cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} is there already, and nothing is overwritten; name another file")
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with draft.open("xb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            manifest = render_manifest(artifact)
            _add(archive, MANIFEST, len(manifest), None, artifact)
            for name, entry in artifact.files.items():
                _add(archive, name, entry.bytes, entry.sha256, artifact)
        sync(draft)
        draft.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise explain(error, target.parent, "nothing was left behind") from error
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, name: str, size: int, sha256: str | None, artifact: Artifact) -> None:
    path = artifact.path / name
    member = tarfile.TarInfo(name)
    member.size = size
    try:
        file = path.open("rb")
    except OSError as error:
        raise ArtifactError(path, f"cannot be read ({error.strerror}); {way_out(artifact.path)}") from error
    with file:
        there = os.fstat(file.fileno()).st_size
        if there != size:
            raise ArtifactError(path, f"has {there} bytes instead of {size}; {way_out(artifact.path)}")
        content = _Digesting(path, file)
        archive.addfile(member, content)  # type: ignore[arg-type]
    if sha256 not in (None, content.sha256.hexdigest()):
        raise ArtifactError(path, f"is damaged: its digest is another; {way_out(artifact.path)}")


class Archive:
    """An exported artifact: its manifest has been read, its files are on their way.

    Attributes:
        artifact: what the manifest describes; its path is that of the archive.
    """

    def __init__(self, source: Path, file: BinaryIO) -> None:
        self._source = source
        self._file = file
        size = self._header(MANIFEST)
        if size > MANIFEST_LIMIT:
            raise self._refused(f"its manifest is larger than {MANIFEST_LIMIT} bytes")
        data = b"".join(self._blocks(size))
        try:
            self.artifact = parse_manifest(data, source)
        except ValueError as error:
            raise self._refused(str(error)) from error
        there, listed = source.stat().st_size, self.artifact.bytes
        if listed > there:
            raise self._refused(f"it has {there} bytes, and its manifest lists {listed}")
        self._manifest = data

    def unpack(self, folder: Path) -> None:
        """Write the artifact's files to an empty folder, and verify them on the way.

        Raises:
            ArtifactError: the archive is damaged, or holds anything but the files that its manifest lists.
            OSError: the disk is full or failing.
        """
        room = free_bytes(folder)
        if self.artifact.bytes > room:
            raise ArtifactError(
                folder.parent,
                f"has room for {room} bytes, and the artifact has {self.artifact.bytes}: free some, or set "
                "SPANIEL_STORE to another disk; nothing was left behind",
            )
        (folder / MANIFEST).write_bytes(self._manifest)
        for name, entry in self.artifact.files.items():
            size = self._header(name)
            if size != entry.bytes:
                raise self._refused(f"its file {name!r} has {size} bytes instead of {entry.bytes}")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with path.open("xb") as target:
                for block in self._blocks(size):
                    target.write(block)
                    digest.update(block)
            if digest.hexdigest() != entry.sha256:
                raise self._refused(f"its file {name!r} is damaged: its digest is another")
        if any(self._file.read(_UNIT)):
            raise self._refused("it holds more than its manifest lists")

    def _header(self, name: str) -> int:
        """Read the header that must come next, and return the size of its file."""
        try:
            member = tarfile.TarInfo.frombuf(self._file.read(_UNIT), "utf-8", "surrogateescape")
        except (tarfile.TarError, ValueError) as error:
            raise self._refused(f"{error} where the header of {name!r} should be") from error
        if member.name != name or member.type != tarfile.REGTYPE or member.size < 0:
            raise self._refused(f"it holds {member.name!r} where the plain file {name!r} should be")
        return member.size

    def _blocks(self, size: int) -> Iterator[bytes]:
        padding = -size % _UNIT
        while size:
            block = self._file.read(min(size, BLOCK))
            if not block:
                raise self._refused("it ends too early")
            size -= len(block)
            yield block
        self._file.read(padding)

    def _refused(self, why: str) -> ArtifactError:
        return ArtifactError(self._source, f"is no whole exported artifact: {why}; export it again")


@contextmanager
def open_archive(source: Path) -> Iterator[Archive]:
    """Open an exported artifact.

    Raises:
        ArtifactError: it is none, or damaged.
        UsageError: there is no such file, or it cannot be read.
    """
    if not source.is_file():
        raise UsageError(f"there is no file {source}")
    try:
        file = source.open("rb")
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from error
    with file:
        yield Archive(source, file)

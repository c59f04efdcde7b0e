"""Where things lie in a store: artifacts, drafts, locks, and the version of this order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spaniel.errors import ArtifactError, UsageError
from spaniel.store.artifact import MANIFEST, Artifact, read_manifest
from spaniel.store.files import explain, explained, write_whole
from spaniel.store.recipe import ADDRESS_LENGTH

LAYOUT = 1
"""Version of how a store's folders are laid out."""
_ADDRESS = re.compile(rf"[0-9a-f]{{{ADDRESS_LENGTH}}}")


@dataclass(frozen=True)
class Entry:
    """What a store lists.

    Attributes:
        address: the artifact's address; whatever else lies in the store's folder is listed under its name.
        path: its folder.
        artifact: the artifact by its manifest, its files not verified; ``None`` where that cannot be read.
        fault: why it cannot be read.
        unfinished: whether it is what a build that was stopped has left, from which the next one goes on.
        bytes: size of its files.
        modified: when it was made here or imported, in seconds since the epoch.
    """

    address: str
    path: Path
    artifact: Artifact | None
    fault: str
    unfinished: bool
    bytes: int
    modified: float


def place_of(root: Path, address: str) -> Path:
    """Return the folder of an artifact, there or not.

    Raises:
        UsageError: it is no address.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"{address!r} is no address of an artifact; one has {ADDRESS_LENGTH} hexadecimal digits")
    return root / "artifacts" / address


def list_entries(root: Path) -> Iterator[Entry]:
    """Yield artifacts by address, damaged ones too, then unfinished builds."""
    check_layout(root)
    for path in _inside(root / "artifacts"):
        artifact, fault = None, ""
        try:
            if not _ADDRESS.fullmatch(path.name):
                raise ArtifactError(path, "is no artifact; move it elsewhere")
            artifact = read_manifest(path)
        except ArtifactError as error:
            fault = str(error)
        manifest = path / MANIFEST
        modified = (manifest if os.path.lexists(manifest) else path).lstat().st_mtime
        yield Entry(path.name, path, artifact, fault, False, artifact.bytes if artifact else _size(path), modified)
    for path in _inside(root / "drafts"):
        yield Entry(_address(path), path, None, "", True, _size(path), path.lstat().st_mtime)


def resolve(root: Path, prefix: str) -> str:
    """Return the one address of an artifact or an unfinished build that begins with ``prefix``.

    Raises:
        UsageError: none does, or several do.
    """
    names = {_address(path) for part in ("artifacts", "drafts") for path in _inside(root / part)}
    found = sorted(name for name in names if _ADDRESS.fullmatch(name) and name.startswith(prefix))
    if not prefix or not found:
        raise UsageError(f"no artifact in {root} has an address that begins with {prefix!r}")
    if len(found) > 1:
        raise UsageError(f"several addresses begin with {prefix!r}; give more of one: {', '.join(found[:5])}")
    return found[0]


def check_layout(root: Path) -> None:
    """Check that a store is laid out as this version of Spaniel knows it.

    Raises:
        ArtifactError: it is laid out otherwise.
    """
    path = root / "format"
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return  # nothing has been built yet
    except OSError as error:
        raise explain(error, path, "nothing was read") from error
    if found.strip() != str(LAYOUT).encode():
        raise ArtifactError(
            path,
            f"says that the store has layout {found[:20].decode(errors='replace').strip()!r}, and this version of "
            f"Spaniel reads {LAYOUT}: use the version that made it, or set SPANIEL_STORE to another folder",
        )


def mark_layout(root: Path) -> None:
    """Write down how a store is laid out, once."""
    path = root / "format"
    if not path.exists():
        write_whole(path, f"{LAYOUT}\n".encode())


@contextmanager
def locked(root: Path, address: str, patience: float = -1) -> Iterator[None]:
    """Hold the lock of an artifact across processes; it falls with the process that holds it.

    Args:
        patience: seconds to wait for another process; negative for as long as it takes.

    Raises:
        ArtifactError: the store cannot be written, or another process holds the lock for longer.
    """
    from filelock import FileLock, Timeout

    check_layout(root)
    path = root / "locks" / f"{address}.lock"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise ArtifactError(
                path, "is held by another process, which builds or moves this artifact; try again when it has ended"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _address(path: Path) -> str:
    return path.name.partition(".")[0]


def _inside(path: Path) -> Sequence[Path]:
    with explained(path, "nothing was read"):
        return sorted(path.iterdir()) if path.is_dir() else []


def _size(path: Path) -> int:
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                total += Path(place, name).lstat().st_size
            except FileNotFoundError:
                continue  # a build that goes on has taken it away
    return total

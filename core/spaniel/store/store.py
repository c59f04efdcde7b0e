"""The store: finding, building, listing, verifying, moving and removing artifacts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spaniel.errors import ArtifactError, PluginError, UsageError
from spaniel.store.artifact import MANIFEST, Artifact, FileEntry, read_manifest, render_manifest, way_out
from spaniel.store.digests import Advance, canonical_json, digest_files
from spaniel.store.draft import JOURNAL, Draft, Progress
from spaniel.store.files import explain, explained, is_disk_failure, list_files, state, sync, sync_tree, write_whole
from spaniel.store.recipe import ADDRESS_LENGTH, Need, Recipe
from spaniel.store.sources import Sources
from spaniel.store.transfer import open_archive, write_archive
from spaniel.store.verification import Stamps, find_faults

LAYOUT = 1
"""Version of how a store's folders are laid out."""
FULL_CHECK = 2**30
_ADDRESS = re.compile(rf"[0-9a-f]{{{ADDRESS_LENGTH}}}")
_RESUMES = "what is finished of the build is kept, and it goes on from there when it is started again"


def default_root() -> Path:
    """Return the folder of the user's store: ``SPANIEL_STORE``, else where the platform keeps such things."""
    given = os.environ.get("SPANIEL_STORE")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("spaniel")) / "store"


@dataclass(frozen=True)
class Entry:
    """What a store lists.

    Attributes:
        address: the artifact's address; whatever else lies in the store's folder is listed under its name.
        path: its folder.
        artifact: the artifact by its manifest, its files not verified; ``None`` for one that cannot be read or is unfinished.
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


class Store:
    """A folder of artifacts, which several processes may use at once.

    Nothing is written before the first artifact is built or imported, and a store that cannot be written can be read.
    Opening an artifact runs no code: a manifest is JSON, and what the files hold is for others to read.

    Args:
        root: the folder.
        full_check: artifacts up to this many bytes are verified in full when a process first opens them; of larger ones a
            file is verified again only when its size, times or inode have changed since it last was.
        patience: seconds that removing waits for a process that builds or removes the same artifact.
    """

    def __init__(self, root: str | os.PathLike[str], full_check: int = FULL_CHECK, patience: float = 10.0) -> None:
        self.root = Path(root).expanduser().absolute()
        self._patience = patience
        self._stamps = Stamps(self.root / "stamps", full_check)
        self._sources = Sources(self.root / "sources.sqlite")

    # Finding

    def has(self, address: str) -> bool:
        """Whether an artifact is there; it is not verified."""
        return (self._place(address) / MANIFEST).is_file()

    def find(self, recipe: Recipe) -> Artifact | None:
        """Return the artifact of a recipe, verified, or ``None`` where there is none.

        Raises:
            ArtifactError: it is damaged; the message names the file.
        """
        return self.open(recipe.address) if os.path.lexists(self._place(recipe.address)) else None

    def open(self, address: str) -> Artifact:
        """Return an artifact by its address, verified.

        Raises:
            ArtifactError: it is not there, or damaged; the message names the file.
        """
        artifact = self._read(address)
        faults, sound = find_faults(artifact, self._stamps.read(artifact))
        if faults:
            raise faults[0]
        self._stamps.write(artifact, sound)
        return artifact

    def verify(self, address: str, advance: Advance | None = None) -> Sequence[ArtifactError]:
        """Read every byte of an artifact, and return what is wrong with it.

        Args:
            advance: is told the bytes that were read.
        """
        try:
            artifact = self._read(address)
        except ArtifactError as error:
            return [error]
        faults, sound = find_faults(artifact, {}, advance)
        if not faults:
            self._stamps.write(artifact, sound)
        return faults

    def list(self) -> Iterator[Entry]:
        """Yield what is in the store, by address: artifacts, damaged ones, and unfinished builds. Nothing is verified."""
        for path in _folder(self.root / "artifacts"):
            artifact, fault = None, ""
            try:
                if not _ADDRESS.fullmatch(path.name):
                    raise ArtifactError(path, "is no artifact; move it elsewhere")
                artifact = self._read(path.name)
            except ArtifactError as error:
                fault = str(error)
            manifest = path / MANIFEST
            modified = (manifest if manifest.exists() else path).lstat().st_mtime
            yield Entry(path.name, path, artifact, fault, False, artifact.bytes if artifact else _size(path), modified)
        for path in _folder(self.root / "drafts"):
            yield Entry(path.name.partition(".")[0], path, None, "", True, _size(path), path.lstat().st_mtime)

    def resolve(self, prefix: str) -> str:
        """Return the one address in the store that begins with ``prefix``; unfinished builds count, too.

        Raises:
            UsageError: none does, or several do.
        """
        names = {p.name.partition(".")[0] for part in ("artifacts", "drafts") for p in _folder(self.root / part)}
        found = sorted(name for name in names if _ADDRESS.fullmatch(name) and name.startswith(prefix))
        if not prefix or not found:
            raise UsageError(f"no artifact in {self.root} has an address that begins with {prefix!r}")
        if len(found) > 1:
            raise UsageError(f"several addresses begin with {prefix!r}; give more of one: {', '.join(found[:5])}")
        return found[0]

    # Building

    def obtain(self, need: Need, progress: Progress | None = None) -> Artifact:
        """Return the artifact of a need, building it and its inputs where they are not there.

        Several processes that want the same artifact build it once: one builds, the others wait. What ``need.build``
        raises passes through; what it has finished is kept, and the next attempt goes on from there.

        Raises:
            ArtifactError: an artifact is damaged, the disk is full or failing, or the store cannot be written.
            PluginError: the build left what no artifact may hold.
        """
        found = self.find(need.recipe)
        if found is not None:
            return found
        inputs = tuple(self.obtain(part, progress) for part in need.inputs)
        with self._locked(need.recipe.address, patience=-1):
            # Another process may have built it while this one waited.
            found = self.find(need.recipe)
            return found if found is not None else self._build(need, inputs, progress)

    def _build(self, need: Need, inputs: tuple[Artifact, ...], progress: Progress | None) -> Artifact:
        folder = self._draft(need.recipe.address)
        with explained(folder, _RESUMES):
            folder.mkdir(parents=True, exist_ok=True)
            sync(folder.parent)
            (folder / MANIFEST).unlink(missing_ok=True)
            draft = Draft(folder, inputs, progress)
        try:
            need.build(draft)
        except BaseException as error:
            draft.pause()
            if isinstance(error, OSError) and is_disk_failure(error, folder):
                raise explain(error, folder, _RESUMES) from error
            raise
        with explained(folder, _RESUMES):
            return self._publish(need.recipe, draft)

    def _publish(self, recipe: Recipe, draft: Draft) -> Artifact:
        distribution = recipe.component.partition("/")[0]
        names, odd = list_files(draft.path, besides=(JOURNAL,))
        odd += [(draft.path / MANIFEST, "has the name of the store's own file")] if MANIFEST in names else []
        if odd:
            raise PluginError(distribution, f"built what no artifact may hold: {odd[0][0]} {odd[0][1]}")
        try:
            canonical_json(draft.info)
        except (TypeError, ValueError) as error:
            raise PluginError(distribution, f"noted what has no JSON form: {error}") from error
        paths = [draft.path / name for name in names]
        sync_tree(draft.path)
        states = {name: state(path) for name, path in zip(names, paths, strict=True)}
        files = {}
        for name, digest in zip(names, digest_files(paths), strict=True):
            if isinstance(digest, OSError):
                raise digest
            files[name] = FileEntry(states[name][0], digest)
        manifest = render_manifest(Artifact(draft.path, recipe, draft.info, files, draft.seconds))
        write_whole(draft.path / MANIFEST, manifest)
        target = self._place(recipe.address)
        self._move_in(draft.path, target)
        # Until here the journal is kept, so that a kill costs no finished part; artifacts are read as if it were not there.
        (target / JOURNAL).unlink(missing_ok=True)
        artifact = read_manifest(target)
        self._stamps.write(artifact, states)
        return artifact

    def _move_in(self, folder: Path, target: Path) -> None:
        """Make a whole artifact appear under its address; everything in its folder is on disk."""
        sync(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        layout = self.root / "format"
        if not layout.exists():
            write_whole(layout, f"{LAYOUT}\n".encode())
        folder.rename(target)
        for place in (target.parent, folder.parent, self.root):
            sync(place)

    # Moving and removing

    def export(self, address: str, target: str | os.PathLike[str]) -> None:
        """Write an artifact to an uncompressed tar file, verified on the way; the same artifact gives the same bytes.

        Raises:
            ArtifactError: the artifact is not there or damaged, or the disk is full; no file is left.
            UsageError: the target is there already, or cannot be written.
        """
        write_archive(self._read(address), Path(target))

    def import_(self, source: str | os.PathLike[str]) -> Artifact:
        """Take an artifact from a tar file; it appears verified and whole, or not at all.

        Raises:
            ArtifactError: the file holds no whole, undamaged artifact, or the disk is full; nothing is left.
            UsageError: there is no such file.
        """
        with open_archive(Path(source)) as archive:
            address = archive.artifact.address
            target, inbox = self._place(address), self.root / "drafts" / f"{address}.import"
            with self._locked(address, patience=-1), explained(inbox):
                if not os.path.lexists(target):
                    _discard(inbox)
                    inbox.mkdir(parents=True)
                    try:
                        archive.unpack(inbox)
                        sync_tree(inbox)
                        self._move_in(inbox, target)
                    finally:
                        _discard(inbox)
                    _discard(self._draft(address))
        return self.open(address)

    def remove(self, prefix: str) -> str:
        """Remove the one artifact whose address begins with ``prefix``, whole, damaged or unfinished; return its address.

        Raises:
            UsageError: no address begins so, or several do.
            ArtifactError: another process is building or removing it, or the store cannot be written.
        """
        address = self.resolve(prefix)
        place, drafts = self._place(address), self.root / "drafts"
        with self._locked(address, self._patience), explained(place):
            if os.path.lexists(place):
                # Moved aside first, so that a removal that is interrupted leaves no half artifact to open.
                drafts.mkdir(parents=True, exist_ok=True)
                _discard(drafts / f"{address}.removed")
                place.rename(drafts / f"{address}.removed")
            self._stamps.forget(place)
            for path in _folder(drafts):
                if path.name.partition(".")[0] == address:
                    _discard(path)
        return address

    # Sources

    def digest_of(self, path: str | os.PathLike[str]) -> str:
        """Return the digest of a file, or of all files in a folder; one that has not changed is read once.

        Raises:
            UsageError: there is no such file or folder, or it cannot be read.
        """
        return self._sources.digest(path)

    # Places

    def _place(self, address: str) -> Path:
        if not _ADDRESS.fullmatch(address):
            raise UsageError(f"{address!r} is no address of an artifact; one has {ADDRESS_LENGTH} hexadecimal digits")
        return self.root / "artifacts" / address

    def _draft(self, address: str) -> Path:
        return self.root / "drafts" / address

    def _read(self, address: str) -> Artifact:
        self._check_layout()
        return read_manifest(self._place(address))

    def _check_layout(self) -> None:
        path = self.root / "format"
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

    @contextmanager
    def _locked(self, address: str, patience: float) -> Iterator[None]:
        """Hold the lock of an artifact across processes; it falls with the process that holds it."""
        from filelock import FileLock, Timeout

        self._check_layout()
        path = self.root / "locks" / f"{address}.lock"
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


def _folder(path: Path) -> Sequence[Path]:
    """Return what lies in a folder, in order; nothing where there is no such folder."""
    with explained(path, "nothing was read"):
        return sorted(path.iterdir()) if path.is_dir() else []


def _size(path: Path) -> int:
    """Return the bytes under a path; what a build takes away meanwhile is not counted."""
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(Path(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _discard(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)

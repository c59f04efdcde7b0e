"""The store: finding, building, listing, verifying, moving and removing artifacts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spaniel.errors import ArtifactError, PluginError, UsageError
from spaniel.store.artifact import MANIFEST, Artifact, FileEntry, read_manifest, render_manifest
from spaniel.store.digests import Advance, canonical_json, digest_files
from spaniel.store.draft import JOURNAL, Draft, Progress
from spaniel.store.files import explain, explained, is_disk_failure, list_files, state, sync, sync_tree
from spaniel.store.layout import Entry, check_layout, list_entries, locked, mark_layout, place_of, resolve
from spaniel.store.recipe import Need, Recipe
from spaniel.store.sources import Sources
from spaniel.store.transfer import open_archive, write_archive
from spaniel.store.verification import Stamps, find_faults

FULL_CHECK = 2**30
_RESUMES = "what is finished of the build is kept, and it goes on from there when it is started again"


def default_root() -> Path:
    """Return the folder of the user's store: ``SPANIEL_STORE``, else where the platform keeps such things."""
    given = os.environ.get("SPANIEL_STORE")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("spaniel")) / "store"


_BUILT, _TRUSTED = "built here", "trusted"
"""Who stands for contents that nobody looked through."""
_DATABASE = re.compile(r"\.sqlite(-wal|-shm|-journal)?$")
_OWN = ("artifacts", "drafts", "locks", "stamps", "format")


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in (path.rglob("*") if path.is_dir() else (path,)) if one.is_file())


class Store:
    """A folder of artifacts, which several processes may use at once.

    Nothing is written before the first artifact is built or imported, and a store that cannot be written can be read.
    Opening an artifact runs no code: a manifest is JSON, and what the files hold is for others to read.

    Args:
        root: the folder.
        full_check: artifacts up to this many bytes are verified in full when a process first opens them; of larger ones
            a file is verified again only when its size, times or inode have changed since it last was.
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
        return (place_of(self.root, address) / MANIFEST).is_file()

    def find(self, recipe: Recipe) -> Artifact | None:
        """Return the artifact of a recipe, verified, or ``None`` where there is none.

        Raises:
            ArtifactError: it is damaged; the message names the file.
        """
        return self.open(recipe.address) if os.path.lexists(place_of(self.root, recipe.address)) else None

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

    def checked(self, artifact: Artifact, by: str, check: Callable[[Artifact], None]) -> None:
        """Have the contents of an artifact looked through, unless this store built it or that was done here before.

        Args:
            artifact: what :meth:`open` returned.
            by: who looks; what another one found to be sound is looked through again.
            check: raises :class:`spaniel.ArtifactError` where something is out of bounds.
        """
        if not self._stamps.checkers(artifact) & {_BUILT, _TRUSTED, by}:
            check(artifact)
            self._stamps.add_checker(artifact, by)

    def noted(self, address: str) -> Mapping[str, Any]:
        """Return what the builder of an artifact noted, nothing where it is not there; its files are not verified."""
        return self._read(address).info if self.has(address) else {}

    def is_own(self, artifact: Artifact) -> bool:
        """Whether this store built an artifact, or its sender is trusted."""
        return bool(self._stamps.checkers(artifact) & {_BUILT, _TRUSTED})

    def list(self) -> Iterator[Entry]:
        """Yield artifacts by address, damaged ones too, then unfinished builds; nothing is verified."""
        return list_entries(self.root)

    def remembered(self) -> dict[str, int]:
        """Return what lies beside the artifacts (scores, measurements, digests), and is made again where it is removed.

        Returns:
            name in the store's folder → bytes.
        """
        if not self.root.is_dir():
            return {}
        others = (path for path in sorted(self.root.iterdir()) if path.name not in _OWN)
        return {path.name: size for path in others if (size := _size(path))}

    def forget(self, name: str) -> None:
        """Remove what lies beside the artifacts under a name that :meth:`remembered` gives.

        Raises:
            UsageError: there is no such thing, or it holds files that are no databases of the store's kind.
            ArtifactError: the store cannot be written.
        """
        if name not in self.remembered():
            raise UsageError(f"nothing beside the artifacts of {self.root} is called {name!r}")
        path = self.root / name
        files = [path] if not path.is_dir() or path.is_symlink() else [p for p in path.rglob("*") if not p.is_dir()]
        foreign = [file for file in files if file.is_symlink() or not _DATABASE.search(file.name)]
        if foreign:
            raise UsageError(
                f"{foreign[0]} is none of the store's own files, so {path} is left alone; remove it yourself"
            )
        with explained(path):
            _discard(path)
            for journal in ("-wal", "-shm", "-journal"):
                path.with_name(name + journal).unlink(missing_ok=True)

    def resolve(self, prefix: str) -> str:
        """Return the one address in the store that begins with ``prefix``; unfinished builds count, too.

        Raises:
            UsageError: none does, or several do.
        """
        return resolve(self.root, prefix)

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
        with locked(self.root, need.recipe.address):
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
        except UsageError:
            # What was malformed will have another address once it is mended: a draft without files is for nobody.
            draft.pause()
            if not list_files(folder, besides=(JOURNAL,))[0]:
                _discard(folder)
            raise
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
            raise PluginError(
                distribution,
                f"built what no artifact may hold: {odd[0][0]} {odd[0][1]}; "
                f"`spaniel store remove {recipe.address[:12]}` removes the unfinished build",
            )
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
        manifest = draft.path / MANIFEST
        manifest.write_bytes(render_manifest(Artifact(draft.path, recipe, draft.info, files, draft.seconds)))
        sync(manifest)
        target = place_of(self.root, recipe.address)
        self._move_in(draft.path, target)
        # Kept until here, so that a kill costs no finished part; an artifact is read as if it were not there.
        (target / JOURNAL).unlink(missing_ok=True)
        artifact = read_manifest(target)
        self._stamps.write(artifact, states)
        self._stamps.add_checker(artifact, _BUILT)
        return artifact

    def _move_in(self, folder: Path, target: Path) -> None:
        """Make a whole artifact appear under its address; everything in its folder is on disk."""
        sync(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        mark_layout(self.root)
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

    def import_(
        self,
        source: str | os.PathLike[str],
        check: Callable[[Artifact], str] = lambda artifact: "",
        trust: bool = False,
    ) -> Artifact:
        """Take an artifact from a tar file; it appears verified and whole, or not at all.

        Args:
            source: what :meth:`export` wrote.
            check: looks through the contents, once their digests are right, before they appear in the store; returns who
                looked, as :meth:`checked` is told, empty where nobody could.
            trust: take the contents as if this store had built them; for files whose sender is known.

        Raises:
            ArtifactError: the file holds no whole, undamaged artifact, or the disk is full; nothing is left.
            UsageError: there is no such file.
        """
        by = ""
        with open_archive(Path(source)) as archive:
            address = archive.artifact.address
            target, inbox = place_of(self.root, address), self.root / "drafts" / f"{address}.import"
            with locked(self.root, address), explained(inbox):
                if not os.path.lexists(target):
                    _discard(inbox)
                    inbox.mkdir(parents=True)
                    try:
                        archive.unpack(inbox)
                        if not trust:
                            by = check(replace(archive.artifact, path=inbox))
                        sync_tree(inbox)
                        self._move_in(inbox, target)
                    finally:
                        _discard(inbox)
                    _discard(self._draft(address))
            artifact = self.open(address)
            # What was there already counts only where it is the same.
            by = _TRUSTED if trust else by
            if by and (artifact.files, artifact.info) == (archive.artifact.files, archive.artifact.info):
                self._stamps.add_checker(artifact, by)
        return artifact

    def remove(self, prefix: str) -> str:
        """Remove the one artifact, damaged and unfinished ones included, whose address begins so; return its address.

        Raises:
            UsageError: no address begins so, or several do.
            ArtifactError: another process is building or removing it, or the store cannot be written.
        """
        address = self.resolve(prefix)
        place, drafts = place_of(self.root, address), self.root / "drafts"
        with locked(self.root, address, self._patience), explained(place):
            if os.path.lexists(place):
                # Moved aside first, so that a removal that is interrupted leaves no half artifact to open.
                aside = drafts / f"{address}.removed"
                drafts.mkdir(parents=True, exist_ok=True)
                _discard(aside)
                place.rename(aside)
            self._stamps.forget(place)
            for left in ("", ".import", ".removed"):
                _discard(drafts / f"{address}{left}")
        return address

    # Sources

    def digest_of(self, path: str | os.PathLike[str]) -> str:
        """Return the digest of a file, or of all files in a folder; one that has not changed is read once.

        Raises:
            UsageError: there is no such file or folder, or it cannot be read.
        """
        return self._sources.digest(path)

    def digests_of(self, paths: Sequence[Path], advance: Advance | None = None) -> Sequence[str | OSError]:
        """Return the digests of many files, as :meth:`digest_of` does, or why one cannot be read.

        ``advance`` is told the bytes that were read.
        """
        return self._sources.digests(paths, advance)

    # Places

    def _draft(self, address: str) -> Path:
        return self.root / "drafts" / address

    def _read(self, address: str) -> Artifact:
        check_layout(self.root)
        return read_manifest(place_of(self.root, address))


def _discard(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)

"""Moving artifacts between stores as tar files."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from spaniel.errors import ArtifactError, UsageError
from spaniel.store.artifact import MANIFEST, Artifact, checked_name, read_manifest, sync
from spaniel.store.store import Store

_MANIFEST_LIMIT = 64 * 2**20


def export_artifact(store: Store, address: str, target: Path) -> None:
    """Write an artifact to an uncompressed tar file, the manifest first; the same artifact gives the same bytes.

    Raises:
        ArtifactError: the artifact is damaged.
        UsageError: the target is there already.
    """
    artifact = store.open(address)
    if target.exists():
        raise UsageError(f"{target} is there already; nothing is overwritten")
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
            for name in (MANIFEST, *artifact.files):
                member = tarfile.TarInfo(name)
                member.size = (artifact.path / name).stat().st_size
                with (artifact.path / name).open("rb") as content:
                    archive.addfile(member, content)
        sync(draft)
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


def import_artifact(store: Store, source: Path) -> Artifact:
    """Take an artifact from a tar file; it is verified before it appears, and appears whole or not at all.

    Raises:
        ArtifactError: the file holds no whole, undamaged artifact.
    """
    inbox = store.root / "drafts" / f"import-{os.getpid()}-{source.stem[:40]}"
    shutil.rmtree(inbox, ignore_errors=True)
    try:
        inbox.mkdir(parents=True)
        artifact = _unpack(source, inbox)
        address = artifact.address
        with store._lock(address):
            if not store.has(address):
                faults = store._faults(artifact, in_full=True)
                if faults:
                    raise ArtifactError(source, f"holds a damaged artifact: {faults[0]}")
                target = store.path_of(address)
                target.parent.mkdir(parents=True, exist_ok=True)
                for path in (*inbox.rglob("*"), inbox):
                    sync(path)
                inbox.rename(target)
                sync(target.parent)
        return store.open(address)
    except (tarfile.TarError, EOFError) as error:
        raise ArtifactError(source, f"is no exported artifact ({error})") from error
    except OSError as error:
        raise store._disk_error(inbox, error) from error
    finally:
        shutil.rmtree(inbox, ignore_errors=True)


def _unpack(source: Path, inbox: Path) -> Artifact:
    with tarfile.open(source, "r:") as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MANIFEST_LIMIT:
            raise ArtifactError(source, "is no exported artifact: the manifest does not come first")
        _write(archive, first, inbox)
        artifact = read_manifest(inbox)
        wanted = dict(artifact.files)
        while (member := archive.next()) is not None:
            entry = wanted.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry.bytes:
                raise ArtifactError(source, f"holds {member.name!r}, which its manifest does not list so")
            _write(archive, member, inbox)
    if wanted:
        raise ArtifactError(source, f"lacks {sorted(wanted)[0]!r}, which its manifest lists")
    return artifact


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, inbox: Path) -> None:
    target = inbox / checked_name(member.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None  # it is a regular file
    with target.open("xb") as file:
        shutil.copyfileobj(content, file, 2**20)

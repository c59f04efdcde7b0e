"""Building: what stops it, what is kept, and disks that are full or closed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.errors import ArtifactError
from spaniel.store import Draft, Need, Recipe, Store, digest_file
from spaniel.store.draft import JOURNAL

RECIPE = Recipe("index", "spaniel-x/x", "1.0")


def need(build: Callable[[Draft], None], *inputs: Need, **changes: Any) -> Need:
    fields = {"inputs": {str(number): part.recipe.address for number, part in enumerate(inputs)}} | changes
    return Need(Recipe("index", "spaniel-x/x", "1.0", **fields), build, inputs)


def nothing(draft: Draft) -> None:
    """Build an artifact without files."""


class Parts:
    """A builder of several parts that can be told to stop, and remembers what it built."""

    def __init__(self, parts: int = 3, size: int = 10) -> None:
        self.parts = parts
        self.size = size
        self.built: list[int] = []
        self.stop: dict[int, BaseException] = {}

    def __call__(self, draft: Draft) -> None:
        for part in range(self.parts):
            if not draft.done(f"part-{part}"):
                if part in self.stop:
                    raise self.stop[part]
                draft.file(f"part-{part}").write_bytes(bytes([part]) * self.size)
                draft.finish(f"part-{part}")
                self.built.append(part)


# Inputs


def test_inputs_come_first_opened_and_in_order(tmp_path: Path) -> None:
    order: list[str] = []

    def base(name: str) -> Need:
        def build(draft: Draft) -> None:
            order.append(name)
            draft.file("name").write_text(name)

        return need(build, config={"name": name})

    def build(draft: Draft) -> None:
        order.append("whole")
        draft.file("names").write_text(" ".join(part.file("name").read_text() for part in draft.inputs))

    first, second = base("first"), base("second")
    between = need(lambda draft: draft.file("name").write_text("between") and None, second, first)
    artifact = Store(tmp_path).obtain(need(build, second, between, first))
    assert artifact.file("names").read_text() == "second between first"
    assert order == ["second", "first", "whole"]


def test_inputs_of_what_is_there_are_not_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = need(nothing, config={"name": "base"})
    whole = need(nothing, base)
    store.obtain(whole)
    store.remove(base.recipe.address)
    assert store.obtain(whole).recipe == whole.recipe
    assert not store.has(base.recipe.address)


def test_threads_build_it_once(tmp_path: Path) -> None:
    built: list[int] = []
    ready = threading.Barrier(4)

    def build(draft: Draft) -> None:
        built.append(threading.get_ident())

    def work(_: int) -> str:
        ready.wait()
        return Store(tmp_path).obtain(need(build)).address

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(4)))) == 1
    assert len(built) == 1


# Stopping and going on


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("odd text"), OSError(errno.ENOENT, "gone"), SystemExit(3)]
)
def test_what_stops_a_build_passes_through_and_the_draft_stays(tmp_path: Path, error: BaseException) -> None:
    store, build = Store(tmp_path), Parts()
    build.stop = {1: error}
    with pytest.raises(type(error)) as caught:
        store.obtain(need(build))
    assert caught.value is error
    assert store.find(RECIPE) is None
    assert [entry.unfinished for entry in store.list()] == [True]
    build.stop = {}
    artifact = store.obtain(need(build))
    assert build.built == [0, 1, 2]
    assert sorted(artifact.files) == ["part-0", "part-1", "part-2"]
    assert not (artifact.path / JOURNAL).exists()


def test_time_is_counted_over_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def build(draft: Draft) -> None:
        now[0] += 5
        if not draft.done("all"):
            draft.finish("all")
            now[0] += 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).obtain(need(build))
    assert Store(tmp_path).obtain(need(build)).seconds == 12


def test_progress_is_told_to_who_asks(tmp_path: Path) -> None:
    told: list[Any] = []

    def build(draft: Draft) -> None:
        advance = draft.progress(10, "documents")
        advance(4)
        advance(6)

    def progress(total: int | None, unit: str) -> Callable[[int], None]:
        told.append((total, unit))
        return told.append

    Store(tmp_path).obtain(need(build), progress)
    assert told == [(10, "documents"), 4, 6]
    Store(tmp_path).obtain(need(build, seed=1))


# Parts


def test_a_part_is_recorded_after_its_files_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    original = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{handle}").readlink(), tmp_path))
        original(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("which file is synced is read from /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    draft = Draft(tmp_path)
    draft.file("a").write_bytes(b"1")
    draft.file("deep/er/b").write_bytes(b"2")
    draft.finish("first")
    assert {"a", "deep/er/b", "deep/er", "deep", "."} <= set(synced)
    assert synced[-2:] == [JOURNAL, "."]
    synced.clear()
    draft.file("c").write_bytes(b"3")
    draft.file("deep/d").write_bytes(b"4")
    draft.finish("second", draft.path / "deep/d")
    assert sorted(synced[:-1]) == [".", "deep", "deep/d"]
    assert synced[-1] == JOURNAL


def test_files_that_settled_are_not_synced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel.store import draft as room
    from spaniel.store import files

    monkeypatch.setattr(files, "_SETTLED", 0)
    synced: list[str] = []
    monkeypatch.setattr(room, "sync", lambda path: synced.append(path.name))
    draft = Draft(tmp_path)
    for part in range(3):
        draft.file(f"part-{part}").write_bytes(b"")
        draft.finish(str(part))
    assert [name for name in synced if name.startswith("part")] == ["part-0", "part-1", "part-2"]
    draft.file("part-0").write_bytes(b"again")
    draft.finish("again")
    assert [name for name in synced if name.startswith("part")][3:] == ["part-0"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=8), max_size=6, unique=True), st.data())
def test_a_journal_that_was_cut_off_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("draft")
    draft = Draft(folder)
    for part in parts:
        draft.finish(part)
    journal = folder / JOURNAL
    whole = journal.read_bytes() if parts else b""
    end = data.draw(st.integers(0, len(whole)))
    journal.write_bytes(whole[:end] + data.draw(st.sampled_from([b"", b"\0\0\0", b"[", b"\xff"])))
    kept = whole[:end].count(b"\n")
    again = Draft(folder)
    assert [part for part in parts if again.done(part)] == parts[:kept]
    again.finish("more\nlines")
    assert Draft(folder).done("more\nlines")
    assert [part for part in parts if Draft(folder).done(part)] == parts[:kept]
    shutil.rmtree(folder)


def test_shard_1_is_not_done_because_shard_10_is_half_recorded(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.finish("shard-10")
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-1])
    assert not Draft(tmp_path).done("shard-1")
    assert not Draft(tmp_path).done("shard-10")


# Disks


def mounted(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "spaniel-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a small disk cannot be mounted: there is no `mount`")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "2m")


def test_a_full_disk_is_named_and_the_build_goes_on_when_there_is_room(small_disk: Path) -> None:
    store, build = Store(small_disk), Parts(6, 600_000)
    with pytest.raises(ArtifactError, match=r"the disk is full \(\d+ bytes are free\): free some, or set") as caught:
        store.obtain(need(build))
    assert caught.value.path == str(small_disk / "drafts" / RECIPE.address)
    assert "goes on from there" in str(caught.value)
    assert store.find(RECIPE) is None
    done = list(build.built)
    assert done == [0, 1, 2]
    with pytest.raises(ArtifactError, match="the disk is full"):
        store.obtain(need(build))
    remount(small_disk, "size=8m")
    artifact = store.obtain(need(build))
    assert build.built == list(range(6))
    assert not list(store.verify(artifact.address))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.save(path, np.zeros(400_000)),
        lambda path: np.zeros(400_000).tofile(path),
        lambda path: path.write_bytes(bytes(3_200_000)),
    ],
)
def test_a_full_disk_is_known_however_it_is_met(small_disk: Path, write: Callable[[Path], object]) -> None:
    with pytest.raises(ArtifactError, match="the disk is full"):
        Store(small_disk).obtain(need(lambda draft: write(draft.file("a.npy")) and None))


def test_a_disk_that_is_full_before_anything_is_begun(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "other").write_bytes(bytes(3_000_000))
    store = Store(small_disk / "store")
    with pytest.raises(ArtifactError, match="the disk is full"):
        store.obtain(need(Parts()))
    (small_disk / "other").unlink()
    assert store.obtain(need(Parts())).bytes == 30


def test_exports_and_imports_leave_nothing_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    artifact = store.obtain(need(Parts(3, 1_000_000)))
    with pytest.raises(ArtifactError, match="the disk is full"):
        store.export(artifact.address, small_disk / "x.tar")
    assert list(small_disk.iterdir()) == []
    store.export(artifact.address, tmp_path / "x.tar")
    with pytest.raises(ArtifactError, match=r"has room for \d+ bytes, and the artifact has 3000000"):
        Store(small_disk).import_(tmp_path / "x.tar")
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == [f"{artifact.address}.lock"]


def test_an_import_that_fills_the_disk_leaves_nothing(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spaniel.store import transfer

    store = Store(tmp_path / "store")
    artifact = store.obtain(need(Parts(3, 1_000_000)))
    store.export(artifact.address, tmp_path / "x.tar")
    monkeypatch.setattr(transfer, "free_bytes", lambda path: 2**40)
    with pytest.raises(ArtifactError, match="the disk is full"):
        Store(small_disk).import_(tmp_path / "x.tar")
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == [f"{artifact.address}.lock"]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Make the store in a folder read-only: by its mount, or by its permissions where they bind this user."""
    folder = tmp_path / "closed"
    if os.geteuid() == 0:
        for _ in mounted(folder, "8m"):
            yield lambda store: remount(folder, "ro")
        return
    folder.mkdir()
    changed: list[Path] = []

    def close(store: Path) -> None:
        for path in [store, *store.rglob("*")]:
            changed.append(path)
            path.chmod(0o500 if path.is_dir() else 0o400)

    yield close
    for path in changed:
        path.chmod(0o700)


@pytest.mark.parametrize("full_check", [2**30, 0])
def test_a_store_that_cannot_be_written_is_read(
    tmp_path: Path, closed: Callable[[Path], None], full_check: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spaniel.store import verification

    root = tmp_path / "closed" / "store"
    made = Store(root).obtain(need(Parts()))
    source = tmp_path / "source"
    source.write_bytes(b"text")
    os.utime(source, (0, 0))
    closed(root)
    monkeypatch.setattr(verification, "_verified", {})
    store = Store(root, full_check=full_check)
    assert store.find(RECIPE) == made
    assert store.obtain(need(Parts())) == made
    assert list(store.verify(made.address)) == []
    assert [entry.address for entry in store.list()] == [made.address]
    assert [store.digest_of(source) for _ in range(2)] == [digest_file(source)] * 2
    store.export(made.address, tmp_path / "x.tar")
    assert Store(tmp_path / "other").import_(tmp_path / "x.tar").files == made.files


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, closed: Callable[[Path], None]) -> None:
    root = tmp_path / "closed" / "store"
    made = Store(root).obtain(need(Parts()))
    Store(root).export(made.address, tmp_path / "x.tar")
    closed(root)
    store, build = Store(root), Parts()
    wanted = r"the store cannot be written \(.*\): set SPANIEL_STORE to a folder that can be"
    with pytest.raises(ArtifactError, match=wanted):
        store.obtain(need(build, seed=1))
    with pytest.raises(ArtifactError, match=wanted):
        store.remove(made.address)
    with pytest.raises(ArtifactError, match=wanted):
        Store(root.parent / "new").obtain(need(build)) if os.geteuid() == 0 else store.obtain(need(build, seed=2))
    assert build.built == []
    assert store.find(RECIPE) == made

"""Artifacts that go to the store of another machine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Artifact, Draft, Need, Recipe, Store, canonical_json, digest_bytes

FILES = {"a.bin": b"alpha" * 300, "sub/b.npy": bytes(range(256)), "empty": b""}
RECIPE = Recipe("index", "spaniel-x/x", "1.0", {"k1": 1.2}, None, {"corpus": "0" * 40})


def build(draft: Draft) -> None:
    for name, data in FILES.items():
        draft.file(name).write_bytes(data)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    store = Store(tmp_path / "here")
    store.obtain(Need(RECIPE, build))
    return store


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(tmp_path / "there")


def left_behind(store: Store) -> list[Path]:
    """Everything in a store but its locks."""
    return [path for path in store.root.rglob("*") if path.is_file() and path.parent.name != "locks"]


def test_an_artifact_moves_to_another_store(here: Store, there: Store, tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    here.export(RECIPE.address, file)
    moved = there.import_(file)
    assert moved.recipe == RECIPE
    assert {name: moved.file(name).read_bytes() for name in moved.files} == FILES
    assert there.find(RECIPE) == moved
    assert list(there.verify(moved.address)) == []
    assert there.obtain(Need(RECIPE, lambda draft: pytest.fail("it is there"))) == moved
    assert [entry.address for entry in there.list()] == [moved.address]
    there.export(moved.address, tmp_path / "y.tar")
    assert (tmp_path / "y.tar").read_bytes() == file.read_bytes()


def test_the_archive_is_a_plain_tar_with_the_manifest_first(here: Store, tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    here.export(RECIPE.address, file)
    with tarfile.open(file, "r:") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["manifest.json", *sorted(FILES)]
    assert {(m.type, m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {
        (tarfile.REGTYPE, 0, 0, 0, "", 0o644)
    }


def test_exporting_again_gives_the_same_bytes(here: Store, tmp_path: Path) -> None:
    for name in ("x.tar", "y.tar"):
        here.export(RECIPE.address, tmp_path / name)
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()


@pytest.mark.parametrize("harm", [lambda data: data[::-1], lambda data: data[:-1], lambda data: data + b"x"])
def test_a_damaged_artifact_is_not_exported(here: Store, tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    path = here.open(RECIPE.address).file("sub/b.npy")
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ArtifactError, match=r"b\.npy.*spaniel store remove"):
        here.export(RECIPE.address, tmp_path / "x.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_exporting_overwrites_nothing(here: Store, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("mine")
    with pytest.raises(UsageError, match="nothing is overwritten"):
        here.export(RECIPE.address, tmp_path / "x.tar")
    with pytest.raises(UsageError, match="cannot be written"):
        here.export(RECIPE.address, tmp_path / "no" / "x.tar")
    with pytest.raises(ArtifactError, match="cannot be read"):
        here.export("0" * 40, tmp_path / "y.tar")
    assert (tmp_path / "x.tar").read_text() == "mine"


def test_importing_what_is_there_changes_nothing(here: Store, tmp_path: Path) -> None:
    here.export(RECIPE.address, tmp_path / "x.tar")
    before = here.open(RECIPE.address).file("a.bin").stat()
    here.import_(tmp_path / "x.tar")
    assert here.open(RECIPE.address).file("a.bin").stat() == before


def test_importing_replaces_an_unfinished_build(here: Store, there: Store, tmp_path: Path) -> None:
    def stop(draft: Draft) -> None:
        draft.file("a.bin").write_bytes(b"half")
        draft.finish("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.obtain(Need(RECIPE, stop))
    here.export(RECIPE.address, tmp_path / "x.tar")
    assert there.import_(tmp_path / "x.tar").file("a.bin").read_bytes() == FILES["a.bin"]
    assert [entry.unfinished for entry in there.list()] == [False]


# Archives that others made


def manifest(files: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """Return a manifest that is right in itself, whatever it lists."""
    listed = {name: {"bytes": len(data), "sha256": digest_bytes(data)} for name, data in sorted(FILES.items())}
    content = {
        "format": 1,
        "address": RECIPE.address,
        "recipe": RECIPE.to_json(),
        "info": {},
        "files": listed if files is None else files,
        "seconds": 0.0,
    } | changes
    whole = {**content, "digest": digest_bytes(canonical_json(content))}
    return json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n"


Member = tuple[str | tarfile.TarInfo, bytes]


def archive_of(path: Path, members: list[Member], form: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for given_, data in members:
            member = tarfile.TarInfo(given_) if isinstance(given_, str) else given_
            if member.isreg():
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def special(kind: bytes, name: str = "a.bin", target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


WHOLE: list[Member] = [("manifest.json", manifest()), *sorted(FILES.items())]


def test_an_archive_that_tar_made_is_taken(there: Store, tmp_path: Path) -> None:
    there.import_(archive_of(tmp_path / "x.tar", WHOLE, tarfile.USTAR_FORMAT))
    assert list(there.verify(RECIPE.address)) == []


def entry(size: int, data: bytes = b"") -> dict[str, Any]:
    return {"bytes": size, "sha256": digest_bytes(data)}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param([], "where the header of 'manifest.json' should be", id="empty"),
        pytest.param(WHOLE[1:], "holds 'a.bin' where the plain file 'manifest.json'", id="no manifest"),
        pytest.param([WHOLE[1], *WHOLE], "holds 'a.bin' where the plain file 'manifest.json'", id="manifest later"),
        pytest.param([("manifest.json", b"{}")], "the manifest cannot be used", id="malformed manifest"),
        pytest.param([("manifest.json", manifest(format=2)), *WHOLE[1:]], "it has format 2", id="another format"),
        pytest.param([("manifest.json", manifest(address="1" * 40))], "its address is not that", id="another address"),
        pytest.param(WHOLE[:-1], "where the header of 'sub/b.npy' should be", id="a file is missing"),
        pytest.param([*WHOLE, ("more", b"x")], "holds more than its manifest lists", id="a file too many"),
        pytest.param([*WHOLE, WHOLE[1]], "holds more than its manifest lists", id="a file twice"),
        pytest.param([WHOLE[0], WHOLE[2], WHOLE[1], WHOLE[3]], "where the plain file 'a.bin' should be", id="disorder"),
        pytest.param([WHOLE[0], ("a.bin", b"x"), *WHOLE[2:]], "has 1 bytes instead of 1500", id="wrong size"),
        pytest.param([WHOLE[0], ("a.bin", b"x" * 1500), *WHOLE[2:]], "'a.bin' is damaged", id="wrong digest"),
        *(
            pytest.param([WHOLE[0], (special(kind, target=target), b""), *WHOLE[2:]], "the plain file 'a.bin'", id=name)
            for name, kind, target in [
                ("symlink", tarfile.SYMTYPE, "/etc/hostname"),
                ("hard link", tarfile.LNKTYPE, "manifest.json"),
                ("character device", tarfile.CHRTYPE, ""),
                ("block device", tarfile.BLKTYPE, ""),
                ("pipe", tarfile.FIFOTYPE, ""),
                ("folder", tarfile.DIRTYPE, ""),
                ("sparse file", tarfile.GNUTYPE_SPARSE, ""),
            ]
        ),
        *(
            pytest.param(
                [("manifest.json", manifest({name: entry(1, b"x")})), (name, b"x")], "no plain relative name", id=name
            )
            for name in ["../evil", "/evil", "sub/../../evil", ".evil", "a\\..\\evil"]
        ),
        pytest.param(
            [WHOLE[0], ("../evil", b"x"), *WHOLE[1:]], "holds '../evil' where the plain file", id="unlisted traversal"
        ),
        pytest.param(
            [("manifest.json", manifest({"manifest.json": entry(0)})), ("manifest.json", b"")], "lists 'manifest.json'",
            id="manifest twice",
        ),
        pytest.param(
            [("manifest.json", manifest({"a": entry(0), "a/b": entry(0)})), ("a", b""), ("a/b", b"")], "lists 'a/b'",
            id="file and folder",
        ),
        pytest.param(
            [("manifest.json", manifest({"a.bin": entry(2**62)})), ("a.bin", b"x")], f"its manifest lists {2**62}",
            id="huge listed size",
        ),
    ],
)  # fmt: skip
def test_archives_that_are_refused(there: Store, tmp_path: Path, members: list[Member], message: str) -> None:
    file = archive_of(tmp_path / "x.tar", members)
    with pytest.raises(ArtifactError, match=message) as caught:
        there.import_(file)
    assert caught.value.path == str(file)
    assert "export it again" in str(caught.value)
    assert left_behind(there) == []
    assert not list(tmp_path.rglob("*evil*"))
    assert there.find(RECIPE) is None


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_extended_headers_are_refused(there: Store, tmp_path: Path, form: int) -> None:
    long = special(tarfile.REGTYPE, "a" * 300)
    with pytest.raises(ArtifactError, match=r"where the plain file 'a\.bin' should be"):
        there.import_(archive_of(tmp_path / "x.tar", [WHOLE[0], (long, b"x")], form))
    assert left_behind(there) == []


@pytest.mark.parametrize("size", [2**26 + 1, 2**62])
def test_a_huge_size_in_a_header_reserves_nothing(there: Store, tmp_path: Path, size: int) -> None:
    member = tarfile.TarInfo("manifest.json")
    member.size = size
    (tmp_path / "x.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    with pytest.raises(ArtifactError, match="its manifest is larger than"):
        there.import_(tmp_path / "x.tar")


def test_what_has_no_room_is_refused_before_it_is_written(
    there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spaniel.store import transfer

    monkeypatch.setattr(transfer, "free_bytes", lambda path: 100)
    with pytest.raises(ArtifactError, match="has room for 100 bytes, and the artifact has 1756"):
        there.import_(archive_of(tmp_path / "x.tar", WHOLE))
    assert left_behind(there) == []


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9])
def test_an_archive_that_is_cut_off_is_refused(here: Store, there: Store, tmp_path: Path, part: float) -> None:
    here.export(RECIPE.address, tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        end = archive.getmembers()[-1].offset_data + 256
    data = (tmp_path / "x.tar").read_bytes()[: int(end * part)]
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(ArtifactError, match="is no whole exported artifact"):
        there.import_(tmp_path / "x.tar")
    assert left_behind(there) == []


def test_files_that_are_not_there_or_no_archives(there: Store, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UsageError, match="there is no file"):
            there.import_(path)
    (tmp_path / "x.tar").write_bytes(b"no archive" * 1000)
    with pytest.raises(ArtifactError, match="where the header of"):
        there.import_(tmp_path / "x.tar")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("fuzz")
    return folder, archive_of(folder / "x.tar", WHOLE).read_bytes()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9000), st.binary(min_size=1, max_size=16))
def test_no_change_of_an_archive_lets_damage_in(sample: tuple[Path, bytes], position: int, change: bytes) -> None:
    folder, data = sample
    store = Store(folder / "store")
    file = folder / "changed.tar"
    file.write_bytes(data[:position] + change + data[position + len(change) :])
    try:
        artifact: Artifact = store.import_(file)
    except ArtifactError:
        assert left_behind(store) in ([], [store.root / "format"])
        return
    # What changed was nothing that counts: padding, or a header's owner and times with their sum.
    assert {name: artifact.file(name).read_bytes() for name in artifact.files} == FILES
    store.remove(artifact.address)

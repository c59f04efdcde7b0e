"""Recipes, manifests, opening and verifying: what is damaged is found and named."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.errors import ArtifactError, PluginError, UsageError
from spaniel.store import (
    Artifact,
    Draft,
    Need,
    Recipe,
    Store,
    canonical_json,
    default_root,
    digest_bytes,
    digest_file,
    verification,
)
from spaniel.store.artifact import FileEntry, parse_manifest, render_manifest
from spaniel.store.files import checked_name

FILES = {"a.bin": b"alpha" * 100, "sub/b.npy": bytes(range(256)), "empty": b""}


def recipe(**changes: Any) -> Recipe:
    fields: dict[str, Any] = {
        "type": "index",
        "component": "spaniel-x/x",
        "version": "1.0",
        "config": {"k1": 1.2, "names": ["ä", "b"]},
        "inputs": {"corpus": "0" * 40},
    }
    return Recipe(**(fields | changes))


def need(files: dict[str, bytes] = FILES, **changes: Any) -> Need:
    def build(draft: Draft) -> None:
        for name, data in files.items():
            draft.file(name).write_bytes(data)
        draft.info["documents"] = 3

    return Need(recipe(**changes), build)


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make this process as ignorant of what was verified as a new one."""
    return lambda: monkeypatch.setattr(verification, "_verified", {})


# Recipes


def test_the_address_depends_on_every_field() -> None:
    given_ = recipe()
    assert len(given_.address) == 40
    assert Recipe.from_json(json.loads(json.dumps(given_.to_json()))) == given_
    others = [
        recipe(type="vectors"),
        recipe(component="spaniel-x/y"),
        recipe(version="1.1"),
        recipe(config={"k1": 1.3, "names": ["ä", "b"]}),
        recipe(seed=0),
        recipe(inputs={"corpus": "1" * 40}),
    ]
    assert len({given_.address, *(other.address for other in others)}) == 7


def test_the_address_of_a_recipe_never_changes() -> None:
    """A change here makes every artifact of every user unknown; FORMAT is what must change then."""
    made = Recipe("corpus", "spaniel/folder", "1.0", {"b": [1, 2.5, None], "a": "ä"}, 7, {"file": "f" * 64})
    assert made.address == "547464b1e7f921a5094b695c6dd9bae14b5e7007"


def test_a_recipe_does_not_follow_changes_of_what_it_was_made_from() -> None:
    config = {"names": ["a"]}
    made = recipe(config=MappingProxyType(config))
    address = made.address
    config["names"].append("b")
    assert made.config == {"names": ["a"]}
    assert Recipe.from_json(made.to_json()).address == address


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"k1": float("nan")}}, "the config of a recipe of spaniel-x/x must be JSON"),
        ({"config": {"path": Path()}}, "has no JSON form"),
        ({"config": [1]}, "the config of a recipe of spaniel-x/x is a mapping"),
        ({"inputs": {"corpus": 1}}, "the inputs of a recipe"),
        ({"seed": True}, "the seed of a recipe"),
        ({"type": None}, "a recipe's type is text"),
    ],
)
def test_what_is_no_recipe_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe(**changes)


def test_canonical_json() -> None:
    assert canonical_json({"b": 1, "a": [True, None, "ä"]}) == '{"a":[true,null,"ä"],"b":1}'.encode()
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            canonical_json([value])


def test_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANIEL_STORE", "~/somewhere")
    assert default_root() == Path.home() / "somewhere"
    monkeypatch.delenv("SPANIEL_STORE")
    assert default_root().parts[-2:] == ("spaniel", "store")


# Opening


def test_an_artifact_holds_what_was_built(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find(recipe()) is None
    assert not store.has(recipe().address)
    built = store.obtain(need())
    found = Store(tmp_path).find(recipe())
    assert found == built
    assert store.has(found.address)
    assert {name: found.file(name).read_bytes() for name in found.files} == FILES
    assert (found.bytes, found.info, found.recipe) == (sum(map(len, FILES.values())), {"documents": 3}, recipe())
    assert found.path == tmp_path / "artifacts" / recipe().address
    with pytest.raises(ArtifactError, match=r"has no file 'c'.*spaniel store remove"):
        found.file("c")


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.find(recipe()) is None
    assert list(store.list()) == []
    with pytest.raises(UsageError, match="no artifact"):
        store.resolve("a")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("again", [False, True], ids=["first opening", "opened before"])
def test_a_flipped_byte_is_found_and_its_file_named(
    tmp_path: Path, name: str, again: bool, forget: Callable[[], None]
) -> None:
    store = Store(tmp_path)
    path = store.obtain(need()).path / name
    if not again:
        forget()
    data = path.read_bytes() or b"\0"
    stat = path.stat()
    for position in sorted({0, len(data) // 2, len(data) - 1}):
        for bit in (0, 3, 7):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            with pytest.raises(ArtifactError, match="spaniel store remove") as caught:
                store.find(recipe())
            assert caught.value.path == str(path)
            assert [fault.path for fault in store.verify(recipe().address)] == [str(path)]
            with pytest.raises(ArtifactError):
                store.obtain(need())


def test_every_bit_of_the_manifest_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = store.obtain(need({})).path / "manifest.json"
    data = manifest.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises(ValueError, match="the manifest cannot be used"):
            parse_manifest(bytes(changed), manifest.parent)


@pytest.mark.parametrize(
    ("harm", "named", "message"),
    [
        (lambda folder: (folder / "a.bin").unlink(), "a.bin", "is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json", "cannot be read"),
        (lambda folder: (folder / "a.bin").write_bytes(b"x"), "a.bin", "has 1 bytes instead of 500"),
        (lambda folder: (folder / "sub/more").write_bytes(b""), "sub/more", "does not belong to the artifact"),
        (lambda folder: (folder / "sub/.hidden").write_bytes(b""), "sub/.hidden", "oddly named"),
        (lambda folder: (folder / "link").symlink_to("a.bin"), "link", "is no plain file"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe", "is no plain file"),
    ],
)
def test_what_is_missing_or_does_not_belong_is_named(
    tmp_path: Path, harm: Callable[[Path], object], named: str, message: str
) -> None:
    store = Store(tmp_path)
    folder = store.obtain(need()).path
    harm(folder)
    with pytest.raises(ArtifactError, match=message) as caught:
        store.open(folder.name)
    assert caught.value.path == str(folder / named)
    assert caught.value.path in [fault.path for fault in store.verify(folder.name)]


def test_a_link_in_place_of_an_artifact_or_its_file_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folder = store.obtain(need()).path
    (folder / "a.bin").rename(tmp_path / "a.bin")
    (folder / "a.bin").symlink_to(tmp_path / "a.bin")
    assert str(folder / "a.bin") in [fault.path for fault in store.verify(folder.name)]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="symbolic link"):
        store.open(folder.name)


def test_an_artifact_under_the_address_of_another_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.obtain(need()).path
    folder.rename(folder.with_name("1" * 40))
    with pytest.raises(ArtifactError, match=f"belongs to artifact {folder.name}"):
        store.open("1" * 40)


@pytest.mark.parametrize("address", ["", "..", "../x", "a" * 39, "A" * 40, "/" * 40])
def test_what_is_no_address_reaches_no_path(tmp_path: Path, address: str) -> None:
    for what in (Store(tmp_path).open, Store(tmp_path).has, Store(tmp_path).remove):
        with pytest.raises(UsageError, match="address"):
            what(address)


# Versions


def test_an_artifact_of_another_format_is_named_with_the_way_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = store.obtain(need()).path / "manifest.json"
    manifest.write_text(json.dumps({"format": 2, "whatever": "comes later"}))
    with pytest.raises(
        ArtifactError, match=r"has format 2, and this version of Spaniel reads 1; remove it with"
    ) as caught:
        store.find(recipe())
    assert caught.value.path == str(manifest)


def test_a_store_of_another_layout_is_named_with_the_way_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.obtain(need())
    assert (tmp_path / "format").read_text() == "1\n"
    (tmp_path / "format").write_text("2\n")
    for use in (lambda: store.find(recipe()), lambda: store.obtain(need(version="2")), lambda: list(store.list())):
        with pytest.raises(ArtifactError, match=r"layout '2', and this version of Spaniel reads 1.*SPANIEL_STORE"):
            use()


def test_another_version_of_a_distribution_never_gets_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.obtain(need())
    assert store.find(recipe(version="1.1")) is None


# Malformed manifests


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_manifest(data: bytes) -> None:
    with pytest.raises(ValueError, match="the manifest cannot be used"):
        parse_manifest(data, Path("artifact"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["a", "a/b", "../a", "/a", "manifest.json", "a//b", ".", "", "a\n", "b/.c", "x" * 101])
_ENTRIES = st.fixed_dictionaries(
    {"bytes": st.integers(-1, 3) | _JSON, "sha256": st.sampled_from(["0" * 64, "0" * 63, "G" * 64]) | _JSON}
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "format": st.just(1) | _JSON,
            "address": st.just(recipe().address) | _JSON,
            "recipe": st.just(recipe().to_json()) | _JSON,
            "info": st.just({}) | _JSON,
            "files": st.dictionaries(_NAMES, _ENTRIES, max_size=3) | _JSON,
            "seconds": st.just(1.5) | _JSON,
        },
        optional={"more": _JSON},
    )
)
def test_a_manifest_of_any_other_form_is_refused_even_with_its_own_digest(content: dict[str, Any]) -> None:
    whole = {**content, "digest": digest_bytes(canonical_json(content))}
    data = json.dumps(whole, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"
    try:
        artifact = parse_manifest(data, Path("artifact"))
    except ValueError:
        return
    assert artifact.recipe == recipe()
    assert all(checked_name(name) and name != "manifest.json" for name in artifact.files)
    assert not {"a", "a/b"} <= artifact.files.keys()
    assert all(type(e.bytes) is int and e.bytes >= 0 and len(e.sha256) == 64 for e in artifact.files.values())


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"format": 1, "seconds": ' + b"9" * 5000 + b"}", b"\xff\xfe", b""])
def test_manifests_that_break_parsers(tmp_path: Path, data: bytes) -> None:
    store = Store(tmp_path)
    manifest = store.obtain(need()).path / "manifest.json"
    manifest.write_bytes(data)
    with pytest.raises(ArtifactError, match="the manifest cannot be used"):
        store.find(recipe())
    (entry,) = store.list()
    assert entry.fault


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=3), st.floats(0, 1e9))
def test_a_manifest_is_read_as_it_was_written(info: dict[str, Any], seconds: float) -> None:
    written = Artifact(Path("x"), recipe(), info, {"a": FileEntry(3, "0" * 64)}, round(seconds, 6))
    assert parse_manifest(render_manifest(written), Path("x")) == written


# Verifying again


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read to be verified."""
    names: list[str] = []
    original = verification.digest_files

    def digest_files(paths: list[Path], *more: Any) -> Any:
        names.extend(path.name for path in paths)
        return original(paths, *more)

    monkeypatch.setattr(verification, "digest_files", digest_files)
    return names


def test_a_process_verifies_once(tmp_path: Path, hashed: list[str], forget: Callable[[], None]) -> None:
    Store(tmp_path).obtain(need())
    forget()
    for _ in range(3):
        Store(tmp_path).find(recipe())
    assert sorted(hashed) == ["a.bin", "b.npy", "empty"]


def test_large_artifacts_are_verified_where_they_changed(
    tmp_path: Path, hashed: list[str], forget: Callable[[], None]
) -> None:
    store = Store(tmp_path, full_check=100)
    path = store.obtain(need()).file("a.bin")
    forget()
    stamps = tmp_path / "stamps" / f"{recipe().address}.json"
    before = stamps.stat()
    store.find(recipe())
    assert hashed == []
    assert stamps.stat() == before
    data, stat = path.read_bytes(), path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    forget()
    store.find(recipe())
    assert hashed == ["a.bin"]
    forget()
    store.find(recipe())
    assert hashed == ["a.bin"]
    path.write_bytes(data[::-1])
    with pytest.raises(ArtifactError, match=r"a\.bin: is damaged"):
        store.find(recipe())


@pytest.mark.parametrize("stamps", [b"", b"[]", b'{"a.bin": 1}', b'{"a.bin": [1, 2, 3, 4]}', b"\xff"])
def test_damaged_stamps_only_cost_time(
    tmp_path: Path, stamps: bytes, hashed: list[str], forget: Callable[[], None]
) -> None:
    store = Store(tmp_path, full_check=100)
    store.obtain(need())
    (tmp_path / "stamps" / f"{recipe().address}.json").write_bytes(stamps)
    forget()
    assert store.find(recipe()) is not None
    assert sorted(hashed) == ["a.bin", "b.npy", "empty"]


def test_verify_reads_every_byte_and_tells_how_many(tmp_path: Path) -> None:
    store = Store(tmp_path, full_check=0)
    artifact = store.obtain(need())
    told: list[int] = []
    assert list(store.verify(artifact.address, told.append)) == []
    assert sum(told) == artifact.bytes
    for name in ("a.bin", "sub/b.npy"):
        artifact.file(name).write_bytes(artifact.file(name).read_bytes()[::-1])
    assert len(store.verify(artifact.address)) == 2


def test_opening_imports_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.obtain(need({"model.py": b"raise SystemExit('run')", "weights.pkl": b"cos\nsystem\n"}))
    before = set(sys.modules)
    store.find(recipe())
    assert set(sys.modules) == before


# Listing and removing


def test_listing_names_the_whole_the_damaged_the_unfinished_and_the_strange(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = store.obtain(need())
    damaged = store.obtain(need(seed=1))
    (damaged.path / "manifest.json").write_text("{}")

    def stop(draft: Draft) -> None:
        draft.file("part").write_bytes(b"12345")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.obtain(Need(recipe(seed=2), stop))
    (tmp_path / "artifacts" / "notes.txt").write_text("mine")
    entries = {entry.address: entry for entry in store.list()}
    assert len(entries) == 4
    assert entries[whole.address].artifact == whole
    assert entries[whole.address].bytes == whole.bytes
    assert "it is no manifest" in entries[damaged.address].fault
    assert entries[recipe(seed=2).address].unfinished
    assert entries[recipe(seed=2).address].bytes >= 5
    assert "is no artifact" in entries["notes.txt"].fault
    for address in (whole.address, damaged.address, recipe(seed=2).address):
        assert store.remove(address[:8]) == address
    assert [entry.address for entry in store.list()] == ["notes.txt"]
    assert list((tmp_path / "drafts").iterdir()) == []


def test_a_removed_artifact_is_built_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    address = store.obtain(need()).address
    store.remove(address)
    assert store.find(recipe()) is None
    assert not store.has(address)
    assert store.obtain(need()).address == address


def test_a_prefix_must_name_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    addresses = sorted(store.obtain(need(seed=seed)).address for seed in range(17))
    prefix = next(a[0] for a, b in itertools.pairwise(addresses) if a[0] == b[0])
    with pytest.raises(UsageError, match="several addresses begin with"):
        store.remove(prefix)
    with pytest.raises(UsageError, match="no artifact"):
        store.remove("")
    assert len(list(store.list())) == 17


# Names


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/a", "a/", "a//b", ".a", "a/.b", "a b", "a\\b", "ä", "a\n", "x" * 101, "C:a"],
)
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no plain relative name"):
        Draft(tmp_path).file(name)


@settings(deadline=None)
@given(st.text(alphabet="a./\\-_ \n\0é", max_size=12))
def test_a_name_never_leaves_its_folder(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    folder = Path("/folder")
    assert Path(os.path.normpath(folder / name)) == folder / name
    assert (folder / name).is_relative_to(folder)
    assert folder / name != folder


# Sources


def test_a_source_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel.store import files, sources

    monkeypatch.setattr(files, "_SETTLED", 0)
    read: list[str] = []
    original = sources.digest_files

    def digest_files(paths: list[Path], advance: Any = None) -> Any:
        read.extend(path.name for path in paths)
        return original(paths, advance)

    monkeypatch.setattr(sources, "digest_files", digest_files)
    source = tmp_path / "corpus.jsonl"
    source.write_bytes(b"one")
    for _ in range(2):
        assert Store(tmp_path / "store").digest_of(source) == digest_file(source)
    assert read == ["corpus.jsonl"]
    stat = source.stat()
    source.write_bytes(b"two")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Store(tmp_path / "store").digest_of(source) == digest_file(source)
    assert read == ["corpus.jsonl"] * 2


def test_a_source_that_was_just_written_is_not_taken_for_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spaniel.store import sources

    def coarse(path: Path) -> tuple[int, int, int, int]:
        """The state of a file on a disk that keeps times to two seconds."""
        stat = path.stat()
        return (
            stat.st_size,
            *(time // 2_000_000_000 * 2_000_000_000 for time in (stat.st_mtime_ns, stat.st_ctime_ns)),
            1,
        )

    monkeypatch.setattr(sources, "state", coarse)
    source, store = tmp_path / "queries.tsv", Store(tmp_path / "store")
    for number in range(20):
        source.write_bytes(f"{number:03d}".encode())
        assert store.digest_of(source) == digest_file(source)


def test_the_digest_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    store, folder = Store(tmp_path / "store"), tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "deep" / "b").write_bytes(b"2")
    digests = [store.digest_of(folder)]
    (folder / "deep" / "b").write_bytes(b"3")
    digests.append(store.digest_of(folder))
    (folder / "deep" / "b").rename(folder / "deep" / "c")
    digests.append(store.digest_of(folder))
    assert len(set(digests)) == 3
    blob = tmp_path / "blob"
    (folder / "a").rename(blob)
    (folder / "a").symlink_to(blob)
    assert store.digest_of(folder) == digests[-1]
    (folder / "deep").rename(tmp_path / "deep")
    (folder / "deep").symlink_to(tmp_path / "deep")
    assert store.digest_of(folder) == digests[-1]
    (tmp_path / "deep" / "round").symlink_to(folder)
    with pytest.raises(UsageError, match="holds itself by a symbolic link"):
        store.digest_of(folder)


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        Store(tmp_path).digest_of(tmp_path / "nothing")


def test_a_damaged_memory_of_sources_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel.store import files

    monkeypatch.setattr(files, "_SETTLED", 0)
    source = tmp_path / "corpus.jsonl"
    source.write_bytes(b"one")
    (tmp_path / "sources.sqlite").write_bytes(b"no database" * 100)
    assert Store(tmp_path).digest_of(source) == digest_file(source)


# What builders may not leave


@pytest.mark.parametrize(
    ("leave", "message"),
    [
        (lambda folder: (folder / "link").symlink_to("/"), "link is no plain file"),
        (lambda folder: (folder / ".cache").write_bytes(b""), "oddly named"),
        (lambda folder: (folder / "manifest.json").write_bytes(b""), "has the name of the store's own file"),
    ],
)
def test_a_builder_that_leaves_odd_files_is_named(
    tmp_path: Path, leave: Callable[[Path], object], message: str
) -> None:
    store = Store(tmp_path)
    with pytest.raises(PluginError, match=f"spaniel-x: built what no artifact may hold: .*{message}") as caught:
        store.obtain(Need(recipe(), lambda draft: leave(draft.path)))
    assert caught.value.distribution == "spaniel-x"
    assert store.find(recipe()) is None


def test_a_builder_that_notes_what_is_no_json_is_named(tmp_path: Path) -> None:
    def build(draft: Draft) -> None:
        draft.info["mean"] = float("nan")

    with pytest.raises(PluginError, match="spaniel-x: noted what has no JSON form"):
        Store(tmp_path).obtain(Need(recipe(), build))


def test_the_manifest_is_no_builders_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the store's own"):
        Draft(tmp_path).file("manifest.json")
    assert Draft(tmp_path).file("model/manifest.json").parent.is_dir()

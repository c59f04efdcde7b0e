"""``spaniel store``."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from spaniel.cli.main import main
from spaniel.store import Artifact, Draft, Need, Recipe, Store


def make(store: Store, seed: int = 0, size: int = 1500) -> Artifact:
    def build(draft: Draft) -> None:
        draft.file("data.npy").write_bytes(b"x" * size)
        draft.info["documents"] = 3

    return store.obtain(Need(Recipe("index", "spaniel-x/x", "1.0", {"k1": 1.2}, seed, {"corpus": "0" * 40}), build))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def call(store: Store, *arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, ["--store", str(store.root), "store", *map(str, arguments)], input=answer)


def test_list(store: Store) -> None:
    small, large = make(store), make(store, 1, 2_500_000)
    found = call(store, "list", "--sort", "size")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["address", "type", "component", "version", "size", "age"]
    assert lines[1].split()[:6] == [large.address[:12], "index", "spaniel-x/x", "1.0", "2.5", "MB"]
    assert lines[2].split()[:6] == [small.address[:12], "index", "spaniel-x/x", "1.0", "1.5", "kB"]
    assert lines[3] == f"2 in {store.root}, 2.5 MB"
    (store.root / "scores").mkdir()
    (store.root / "scores" / "a").write_bytes(bytes(1500))
    assert store.remembered()["scores"] == 1500
    assert "made again where they are removed: scores 1.5 kB" in call(store, "list").stdout


def test_list_by_age_shows_the_newest_first(store: Store) -> None:
    artifacts = [make(store, seed) for seed in range(3)]
    for days, artifact in zip((1, 3, 2), artifacts, strict=True):
        manifest = artifact.path / "manifest.json"
        time = manifest.stat().st_mtime - days * 86_400
        os.utime(manifest, (time, time))
    told = json.loads(call(store, "list", "--json").stdout)
    assert [entry["address"] for entry in told] == [artifacts[number].address for number in (0, 2, 1)]
    assert "2 d" in call(store, "list").stdout


def test_list_tells_programs_everything(store: Store) -> None:
    whole, damaged = make(store), make(store, 1)
    (damaged.path / "manifest.json").write_text("{}")
    told = {entry["address"]: entry for entry in json.loads(call(store, "list", "--json").stdout)}
    assert told[whole.address]["recipe"] == whole.recipe.to_json()
    assert (told[whole.address]["state"], told[whole.address]["bytes"]) == ("whole", 1500)
    assert told[damaged.address]["state"] == "damaged"
    assert "manifest.json" in told[damaged.address]["fault"]


def test_list_of_nothing(store: Store) -> None:
    assert call(store, "list").stdout == f"0 in {store.root}, 0 B\n"
    assert json.loads(call(store, "list", "--json").stdout) == []


def test_show(store: Store) -> None:
    artifact = make(store)
    shown = call(store, "show", artifact.address[:6])
    assert shown.exit_code == 0
    for part in (artifact.address, "spaniel-x/x 1.0", "config k1", "info documents", "data.npy", "1.5 kB"):
        assert part in shown.stdout
    told = json.loads(call(store, "show", artifact.address, "--json").stdout)
    assert told["recipe"] == artifact.recipe.to_json()
    assert told["files"]["data.npy"]["bytes"] == 1500


def test_the_environment_names_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)
    monkeypatch.setenv("SPANIEL_STORE", str(store.root))
    assert CliRunner().invoke(main, ["store", "list"]).stdout.splitlines()[-1].startswith(f"1 in {store.root}")


def test_verify(store: Store) -> None:
    whole, damaged = make(store), make(store, 1)
    assert call(store, "verify", "--all").exit_code == 0
    damaged.file("data.npy").write_bytes(b"y" * 1500)
    found = call(store, "verify", "--all")
    assert found.exit_code == 1
    assert f"{whole.address[:12]}  whole" in found.stdout
    assert f"{damaged.address[:12]}  damaged" in found.stdout
    assert f"{damaged.file('data.npy')}: is damaged" in found.stdout
    assert call(store, "verify", whole.address[:8]).exit_code == 0
    told = json.loads(call(store, "verify", damaged.address[:8], "--json").stdout)
    assert [entry["address"] for entry in told] == [damaged.address]
    assert len(told[0]["faults"]) == 1


def test_show_of_what_is_damaged_fails(store: Store) -> None:
    artifact = make(store)
    artifact.file("data.npy").write_bytes(b"y" * 1500)
    shown = call(store, "show", artifact.address)
    assert shown.exit_code == 1
    assert f"{artifact.file('data.npy')}: is damaged" in shown.stderr


def test_export_and_import(store: Store, tmp_path: Path) -> None:
    artifact = make(store)
    file = tmp_path / "x.tar"
    assert call(store, "export", artifact.address[:8], file).exit_code == 0
    other = Store(tmp_path / "other")
    taken = call(other, "import", file)
    assert taken.exit_code == 0
    assert taken.stdout == f"{artifact.address[:12]}  index spaniel-x/x 1.0\n"
    assert other.open(artifact.address).files == artifact.files
    again = call(store, "export", artifact.address, file)
    assert again.exit_code == 2
    assert "nothing is overwritten" in again.stderr
    file.write_bytes(b"x" * 5000)
    assert call(Store(tmp_path / "third"), "import", file).exit_code == 1


def test_remove_asks(store: Store) -> None:
    artifact = make(store)
    refused = call(store, "remove", artifact.address[:8], answer="n\n")
    assert refused.exit_code == 1
    assert store.has(artifact.address)
    assert "index spaniel-x/x, 1.5 kB" in refused.stderr
    assert call(store, "remove", artifact.address[:8], answer="y\n").exit_code == 0
    assert not store.has(artifact.address)


def test_remove_takes_damaged_and_unfinished_ones(store: Store) -> None:
    damaged = make(store)
    (damaged.path / "manifest.json").unlink()

    def stop(draft: Draft) -> None:
        raise KeyboardInterrupt

    recipe = Recipe("index", "spaniel-x/x", "2.0")
    with pytest.raises(KeyboardInterrupt):
        store.obtain(Need(recipe, stop))
    assert "unfinished" in call(store, "list").stdout
    removed = call(store, "remove", "--yes", damaged.address, recipe.address)
    assert removed.exit_code == 0
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "ffff"], "no artifact in"),
        (["remove", "--yes", "../.."], "no artifact in"),
        (["verify"], "name artifacts, or give --all"),
        (["list", "--sort", "colour"], "Invalid value"),
        (["import", "nothing.tar"], "does not exist"),
        (["export", ""], "Missing argument"),
    ],
)
def test_mistakes_are_the_users(store: Store, arguments: list[str], message: str) -> None:
    make(store)
    failed = call(store, *arguments)
    assert failed.exit_code == 2
    assert message in failed.stderr


def test_a_prefix_of_several_is_a_mistake(store: Store) -> None:
    addresses = sorted(make(store, seed).address for seed in range(17))
    prefix = next(a[0] for a, b in itertools.pairwise(addresses) if a[0] == b[0])
    failed = call(store, "show", prefix)
    assert failed.exit_code == 2
    assert "several addresses begin with" in failed.stderr


def test_a_bar_is_drawn_on_a_terminal_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm

    made: list[bool] = []

    class Bar(tqdm.tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: object, disable: bool, **options: object) -> None:
            made.append(disable)
            super().__init__(*args, disable=disable, **options)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    make(store)
    assert call(store, "verify", "--all").stderr == ""
    assert made == [True]


def test_what_lies_beside_the_artifacts_is_removed_by_its_name(store: Store) -> None:
    artifact = make(store)
    (store.root / "scores").mkdir()
    (store.root / "scores" / "one.sqlite").write_bytes(b"x" * 100)
    (store.root / "sources.sqlite").write_bytes(b"x" * 50)
    (store.root / "mine").mkdir()
    (store.root / "mine" / "thesis.tex").write_bytes(b"x")
    assert "scores 100 B" in call(store, "list").stdout
    told = {one["address"]: one for one in json.loads(call(store, "list", "--json").stdout)}
    assert (told["scores"]["state"], told["scores"]["bytes"]) == ("remembered", 100)
    assert call(store, "remove", "scores", answer="n\n").exit_code == 1
    assert (store.root / "scores" / "one.sqlite").is_file()
    done = call(store, "remove", "scores", "sources.sqlite", artifact.address[:8], "--yes")
    assert done.exit_code == 0, done.stderr
    assert store.remembered() == {"mine": 1}
    assert not store.has(artifact.address)
    # What others have put there is theirs.
    refused = call(store, "remove", "mine", "--yes")
    assert refused.exit_code == 2
    assert "thesis.tex is none of the store's own files" in refused.stderr
    assert (store.root / "mine" / "thesis.tex").is_file()
    assert call(store, "remove", "artifacts", "--yes").exit_code == 2

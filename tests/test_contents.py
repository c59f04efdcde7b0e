"""What artifacts hold that came from elsewhere: digests are right, and numbers may be anything."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from spaniel import Context, contents
from spaniel.cli.main import main
from spaniel.data import BinaryVectors, Corpus, DenseVectors, Document, MultiVectors, SparseVectors, save_vectors
from spaniel.encoding import open_named
from spaniel.errors import ArtifactError
from spaniel.indexing import open_corpus
from spaniel.store import Artifact, Draft, Need, Recipe, Store
from spaniel.store.artifact import MANIFEST, FileEntry, render_manifest
from spaniel.store.digests import digest_bytes
from spaniel.testing.alterations import alter

FORMS = {
    "dense": DenseVectors(np.eye(5, 3, dtype=np.float32)),
    "sparse": SparseVectors(
        np.array([0, 2, 2, 4]), np.array([1, 6, 0, 3], np.int32), np.array([1, 2, 3, 4], np.float32), 7
    ),
    "multi-vector": MultiVectors(np.array([0, 1, 1, 4]), np.eye(4, 3, dtype=np.float32)),
    "binary": BinaryVectors(np.array([[255, 0xF0], [3, 0]], np.uint8), 12),
}


def seal(artifact: Artifact, info: dict[str, Any] | None = None) -> Artifact:
    """Write a manifest that fits the files as they are now."""
    files = {}
    for name in artifact.files:
        data = (artifact.path / name).read_bytes()
        files[name] = FileEntry(len(data), digest_bytes(data))
    sealed = replace(artifact, files=files, info=artifact.info if info is None else info)
    (artifact.path / MANIFEST).write_bytes(render_manifest(sealed))
    return sealed


def made(context: Context, form: str) -> tuple[Need, Artifact]:
    def build(draft: Draft) -> None:
        save_vectors(FORMS[form], draft.file(form))

    need = Need(Recipe("vectors", "test/v", "1", {"form": form}), build)
    return need, context.obtain(need)


# Vectors


@pytest.mark.parametrize("form", FORMS)
def test_vectors_with_hostile_numbers_are_named_or_in_bounds(tmp_path: Path, form: str) -> None:
    need, artifact = made(Context(tmp_path / "store", device="cpu"), form)
    before = {name: (artifact.path / name).read_bytes() for name in artifact.files}
    refused = 0
    for name, data in before.items():
        for what, other in alter(name, data):
            (artifact.path / name).write_bytes(other)
            seal(artifact)
            try:
                opened = open_named(
                    Context(tmp_path / "store", device="cpu"), Store(tmp_path / "store").open(artifact.address), form
                )
            except ArtifactError:
                refused += 1
            else:
                # Other numbers that are in bounds are other vectors, and nobody can tell.
                assert np.isfinite(opened.arrays()["values"]).all(), (name, what)
                terms = opened.arrays().get("indices", np.zeros(1))
                assert 0 <= terms.min() <= terms.max() < 7, (name, what)
                assert len(opened) == len(FORMS[form])
        (artifact.path / name).write_bytes(data)
    assert refused > 20
    assert need.recipe.address == artifact.address


@pytest.mark.parametrize(
    ("form", "array", "place", "number"),
    [
        ("sparse", "indices", 1, 7),
        ("sparse", "indices", 1, -1),
        ("sparse", "indices", 1, 1),
        ("sparse", "indices", 0, 2**31 - 1),
        ("sparse", "values", 0, np.nan),
        ("dense", "values", 0, np.inf),
        ("multi-vector", "values", 0, np.nan),
        ("multi-vector", "offsets", 1, 2**40),
        ("binary", "values", 0, 0xFF),
    ],
)
def test_what_vectors_must_not_hold(tmp_path: Path, form: str, array: str, place: int, number: float) -> None:
    context = Context(tmp_path / "store", device="cpu")
    _, artifact = made(context, form)
    where = artifact.path / form / f"{array}.npy"
    values = np.load(where)
    values.reshape(-1)[-1 if form == "binary" else place] = number
    np.save(where, values)
    with pytest.raises(ArtifactError, match=f"{array}|vectors.json"):
        open_named(Context(tmp_path / "store", device="cpu"), seal(artifact), form)


# Corpora


def corpus(context: Context) -> tuple[Need, Artifact]:
    made = Corpus.from_documents([Document(f"d{n}", "title", "text", {"n": n}) for n in range(5)])
    return made.need, context.obtain(made.need)


_ENDLESS = (
    "ALTER TABLE documents RENAME TO kept",
    "CREATE VIEW documents AS WITH RECURSIVE n(row) AS (SELECT 0 UNION ALL SELECT row + 1 FROM n) "
    "SELECT row, 'd' || row AS id, '' AS title, '' AS text, '{}' AS metadata FROM n",
)


@pytest.mark.parametrize(
    "statements",
    [
        _ENDLESS,
        ("CREATE VIEW more AS SELECT 1",),
        ("CREATE TRIGGER t AFTER INSERT ON facts BEGIN DELETE FROM facts; END",),
        ("UPDATE documents SET row = 10 WHERE row = 2",),
        ("DELETE FROM documents WHERE row = 4",),
        ("INSERT INTO documents VALUES (5, 'a', '', '', '{}')",),
        ("UPDATE documents SET id = 'z' WHERE row = 4",),
        ("UPDATE documents SET text = x'00ff' WHERE row = 1",),
        ("UPDATE documents SET metadata = '[]' WHERE row = 1",),
        ("UPDATE documents SET metadata = '{' WHERE row = 1",),
        ("DROP INDEX by_id",),
    ],
)
def test_a_corpus_is_plain_tables_with_its_rows_in_order(tmp_path: Path, statements: tuple[str, ...]) -> None:
    need, artifact = corpus(Context(tmp_path / "store", device="cpu"))
    with closing(sqlite3.connect(artifact.path / "corpus.sqlite")) as store, store:
        for statement in statements:
            store.execute(statement)
    seal(artifact)
    with pytest.raises(ArtifactError, match=r"corpus\.sqlite"):
        open_corpus(Context(tmp_path / "store", device="cpu"), need)


@pytest.mark.parametrize("documents", [4, 6, -1, 2**40, "5", None, 5.0])
def test_a_corpus_holds_as_many_documents_as_are_noted(tmp_path: Path, documents: Any) -> None:
    need, artifact = corpus(Context(tmp_path / "store", device="cpu"))
    seal(artifact, {**artifact.info, "documents": documents})
    with pytest.raises(ArtifactError):
        open_corpus(Context(tmp_path / "store", device="cpu"), need)


# When it is looked through


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of the vectors that were looked through."""
    found: list[str] = []
    check: Callable[[Artifact], None] = contents.check_vectors
    counted = {"vectors": lambda artifact: found.append(artifact.address) or check(artifact)}
    monkeypatch.setattr(contents, "CHECKS", counted)
    return found


def test_contents_from_elsewhere_are_looked_through_once(tmp_path: Path, looked: list[str]) -> None:
    here = Context(tmp_path / "here", device="cpu")
    _, artifact = made(here, "dense")
    open_named(here, artifact, "dense")
    assert not looked  # what a store built itself it need not look through
    here.store.export(artifact.address, tmp_path / "v.tar")
    there = Store(tmp_path / "there")
    taken = there.import_(tmp_path / "v.tar")
    for _ in range(3):
        open_named(Context(there, device="cpu"), taken, "dense")
    assert looked == [artifact.address]
    stamp = json.loads((there.root / "stamps" / f"{artifact.address}.contents.json").read_bytes())
    assert stamp["by"] == [contents.CHECKER]
    # Sealed again, in place: another content.
    np.save(artifact.path / "dense" / "values.npy", np.eye(5, 3, k=1, dtype=np.float32))
    open_named(Context(tmp_path / "here", device="cpu"), seal(artifact), "dense")
    assert looked == [artifact.address] * 2


def test_a_trusted_sender_is_not_looked_at(tmp_path: Path, looked: list[str]) -> None:
    here = Context(tmp_path / "here", device="cpu")
    _, artifact = made(here, "dense")
    here.store.export(artifact.address, tmp_path / "v.tar")
    there = Store(tmp_path / "there")
    open_named(Context(there, device="cpu"), there.import_(tmp_path / "v.tar", trust=True), "dense")
    assert not looked


def test_import_and_verify_look_through(tmp_path: Path) -> None:
    here = Context(tmp_path / "here", device="cpu")
    _, artifact = made(here, "sparse")
    where = artifact.path / "sparse" / "indices.npy"
    np.save(where, np.array([1, 2**31 - 1, 0, 3], np.int32))
    seal(artifact)
    store = ["--store", str(tmp_path / "here"), "store"]
    verified = CliRunner().invoke(main, [*store, "verify", "--all"])
    assert verified.exit_code == 1
    assert "indices.npy: holds 0 to 2147483647" in verified.output
    here.store.export(artifact.address, tmp_path / "v.tar")
    there = ["--store", str(tmp_path / "there"), "store"]
    refused = CliRunner().invoke(main, [*there, "import", str(tmp_path / "v.tar")])
    assert refused.exit_code == 1
    assert not list(Store(tmp_path / "there").list())
    assert CliRunner().invoke(main, [*there, "import", "--trust", str(tmp_path / "v.tar")]).exit_code == 0


# What checks are made of


def test_arrays_are_opened_by_what_is_expected(tmp_path: Path) -> None:
    where = tmp_path / "a.npy"
    np.save(where, np.arange(6, dtype=np.int32).reshape(2, 3))
    assert contents.open_array(where, np.int32, [2, None]).tolist() == [[0, 1, 2], [3, 4, 5]]
    for dtype, shape in ((np.int64, [2, 3]), (np.int32, [3, 2]), (np.int32, [6]), (np.uint32, [2, 3])):
        with pytest.raises(ArtifactError, match=r"a\.npy"):
            contents.open_array(where, dtype, shape)
    np.save(where, np.empty((0, 4), np.float32))
    assert contents.open_array(where, np.float32, [None, 4]).shape == (0, 4)


def test_offsets_lists_and_ranges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for block in (2, 3, 2**22):
        monkeypatch.setattr(contents, "BLOCK", block)
        contents.require_offsets(np.array([0, 0, 3, 5]), 5, tmp_path)
        contents.require_ascending_lists(np.array([1, 2, 5, 0, 9]), np.array([0, 0, 3, 5]), tmp_path)
        contents.require_distinct_lists(np.array([5, 2, 1, 9, 0], np.int32), np.array([0, 3, 3, 5]), tmp_path)
        contents.require_range(np.array([0, 9]), 0, 9, tmp_path)
        contents.require_finite(np.full((3, 2), 3e38, np.float32), tmp_path)
        for wrong in (
            lambda: contents.require_offsets(np.array([0, 4, 3, 5]), 5, tmp_path),
            lambda: contents.require_offsets(np.array([0, 3, 2, 5]), 5, tmp_path),
            lambda: contents.require_offsets(np.array([1, 3, 5]), 5, tmp_path),
            lambda: contents.require_offsets(np.array([0, 3, 6]), 5, tmp_path),
            lambda: contents.require_offsets(np.array([], np.int64), 0, tmp_path),
            lambda: contents.require_ascending_lists(np.array([1, 2, 2, 0, 9]), np.array([0, 0, 3, 5]), tmp_path),
            lambda: contents.require_distinct_lists(np.array([5, 2, 5], np.int32), np.array([0, 3]), tmp_path),
            lambda: contents.require_range(np.array([0, 5, -1]), 0, 9, tmp_path),
            lambda: contents.require_finite(np.array([1, np.inf, -np.inf], np.float32), tmp_path),
            lambda: contents.require_distinct(np.array([3, 1, 3]), tmp_path),
        ):
            with pytest.raises(ArtifactError):
                wrong()

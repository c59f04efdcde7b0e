"""Vectors against plain loops; folders that are damaged; writers that are killed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.data import (
    BinaryVectors,
    DenseVectors,
    MultiVectors,
    SparseVectors,
    VectorWriter,
    concatenate_vectors,
    open_vectors,
    save_vectors,
)
from spaniel.data.vectors import binary, dense, multi, sparse
from spaniel.errors import ArtifactError, UsageError

FORMS = ("dense", "dense16", "dense8", "sparse", "multi-vector", "binary")


def make(form: str, rows: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if form.startswith("dense"):
        types = {"dense": np.float32, "dense16": np.float16, "dense8": np.int8}
        return DenseVectors(rng.integers(-5, 6, (rows, 4)).astype(types[form]), "cosine")
    if form == "binary":
        return BinaryVectors(rng.integers(0, 256, (rows, 3), dtype=np.uint8), 24)
    lengths = rng.integers(0, 4, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if form == "multi-vector":
        return MultiVectors(offsets, rng.integers(-5, 6, (offsets[-1], 4)).astype(np.float32))
    terms = [rng.permutation(7)[:length] for length in lengths]
    indices = np.concatenate([*terms, np.empty(0)]).astype(np.int32)
    return SparseVectors(offsets, indices, rng.integers(1, 9, offsets[-1]).astype(np.float32), 7)


def plain(vectors: Any) -> list[list]:
    """Rows as lists, read in the plainest way."""
    if isinstance(vectors, DenseVectors | BinaryVectors):
        return vectors.values.tolist()
    offsets = vectors.indptr if isinstance(vectors, SparseVectors) else vectors.offsets
    rows = []
    for first, last in pairwise(offsets):
        values = vectors.values[first:last].tolist()
        rows.append([vectors.indices[first:last].tolist(), values] if isinstance(vectors, SparseVectors) else values)
    return rows


SIZES = st.integers(0, 6)
SEEDS = st.integers(0, 50)


@pytest.fixture(autouse=True, params=[2**24, 6], ids=["one block", "many blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (binary, dense, multi, sparse):
        monkeypatch.setattr(room, "BLOCK", request.param)


@settings(deadline=None)
@given(st.sampled_from(["dense", "dense16", "dense8"]), SIZES, SIZES, SEEDS)
def test_dot(form: str, mine: int, theirs: int, seed: int) -> None:
    one, two = make(form, mine, seed), make(form, theirs, seed + 1)
    product = one.dot(two)
    assert product.dtype == np.float32
    expected = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in plain(two)] for a in plain(one)]
    assert product.tolist() == expected
    assert product.shape == (mine, theirs)


@settings(deadline=None)
@given(SIZES, SIZES, SEEDS)
def test_sparse_dot(mine: int, theirs: int, seed: int) -> None:
    one, two = make("sparse", mine, seed), make("sparse", theirs, seed + 1)
    product = one.dot(two)
    mapped = [[dict(zip(*row, strict=True)) for row in plain(vectors)] for vectors in (one, two)]
    assert product.shape == (mine, theirs)
    assert product.tolist() == [[sum(w * b.get(t, 0) for t, w in a.items()) for b in mapped[1]] for a in mapped[0]]


@settings(deadline=None)
@given(SIZES, SIZES, SEEDS)
def test_maxsim(mine: int, theirs: int, seed: int) -> None:
    one, two = make("multi-vector", mine, seed), make("multi-vector", theirs, seed + 1)
    scores = one.maxsim(two)
    assert scores.shape == (mine, theirs)
    for a, line in zip(plain(one), scores.tolist(), strict=True):
        for b, score in zip(plain(two), line, strict=True):
            best = [max(sum(x * y for x, y in zip(u, v, strict=True)) for v in b) for u in a] if b else []
            assert score == sum(best)


@settings(deadline=None)
@given(SIZES, SIZES, st.sampled_from([3, 8, 20, 32, 64, 128]), SEEDS)
def test_hamming(mine: int, theirs: int, bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 2, (mine, bits), dtype=np.uint8), rng.integers(0, 2, (theirs, bits), dtype=np.uint8)
    packed = [BinaryVectors(np.packbits(values, axis=1), bits) for values in (one, two)]
    expected = [[sum(x != y for x, y in zip(a, b, strict=True)) for b in two.tolist()] for a in one.tolist()]
    counts = packed[0].hamming(packed[1])
    assert counts.tolist() == expected
    assert counts.shape == (mine, theirs)


@settings(deadline=None)
@given(st.sampled_from(FORMS), SIZES, SEEDS, st.data())
def test_slice_take_concatenate(form: str, rows: int, seed: int, data: st.DataObject) -> None:
    vectors = make(form, rows, seed)
    part = data.draw(st.slices(rows))
    assert plain(vectors[part]) == plain(vectors)[part]
    if rows:
        chosen = data.draw(st.lists(st.integers(0, rows - 1), max_size=5))
        assert plain(vectors.take(chosen)) == [plain(vectors)[row] for row in chosen]
    more = make(form, 3, seed + 1)
    both = concatenate_vectors([vectors, more, vectors[0:0]])
    assert plain(both) == plain(vectors) + plain(more)
    assert (both.metric, both.form, len(both)) == (vectors.metric, vectors.form, rows + 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_save_and_open(form: str, rows: int, tmp_path: Path) -> None:
    vectors = make(form, rows)
    save_vectors(vectors, tmp_path / "v")
    opened = open_vectors(tmp_path / "v")
    assert plain(opened) == plain(vectors)
    assert (type(opened), opened.metric) == (type(vectors), vectors.metric)
    assert isinstance(opened.values, np.memmap)


@pytest.mark.parametrize("form", FORMS)
def test_a_writer_that_is_killed_goes_on_to_the_same_bytes(form: str, tmp_path: Path) -> None:
    vectors = make(form, 50)
    with VectorWriter(tmp_path / "whole", 50) as writer:
        for start in range(0, 50, 7):
            writer.append(vectors[start : start + 7])
    assert plain(open_vectors(tmp_path / "whole")) == plain(vectors)

    writer = VectorWriter(tmp_path / "killed", 50)
    writer.append(vectors[0:20])
    writer.append(vectors[20:25])
    for growing in writer._arrays.values():  # what a shard leaves that was not finished
        growing._file.write(b"half a shard" * 1000)
        growing._file.close()
    with VectorWriter(tmp_path / "killed", 50) as again:
        assert again.next_row == 25
        again.append(vectors[25:50])
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed").iterdir()} == files

    with VectorWriter(tmp_path / "killed", 50) as finished:
        assert (finished.next_row, finished.is_empty) == (50, False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed").iterdir()} == files


@pytest.mark.parametrize("damage", ["progress", "short", "gone"])
def test_a_writer_whose_files_are_damaged_begins_anew(damage: str, tmp_path: Path) -> None:
    vectors = make("dense", 10)
    writer = VectorWriter(tmp_path, 10)
    writer.append(vectors[0:5])
    writer._release()
    if damage == "progress":
        (tmp_path / "progress.json").write_text("{")
    elif damage == "short":
        content = (tmp_path / "values.npy").read_bytes()
        (tmp_path / "values.npy").write_bytes(content[:-1])
    else:
        (tmp_path / "values.npy").unlink()
    with VectorWriter(tmp_path, 10) as writer:
        assert writer.next_row == 0
        writer.append(vectors)
    assert plain(open_vectors(tmp_path)) == plain(vectors)


def write(folder: Path, rows: int, *shards: Any) -> None:
    with VectorWriter(folder, rows) as writer:
        for shard in shards:
            writer.append(shard)


def test_writers_refuse_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="11 vectors for 10 rows"):
        write(tmp_path / "a", 10, make("dense", 11))
    with pytest.raises(UsageError, match="after dense"):
        write(tmp_path / "b", 10, make("dense", 5), make("dense16", 5))
    with pytest.raises(UsageError, match="5 vectors were written for 10 rows"):
        write(tmp_path / "c", 10, make("dense", 5))
    with pytest.raises(UsageError, match="0 vectors"):
        write(tmp_path / "d", 0)
    assert not list(tmp_path.rglob("vectors.json"))
    write(tmp_path / "e", 0, make("sparse", 0))
    assert len(open_vectors(tmp_path / "e")) == 0


def assert_names(error: ArtifactError, folder: Path) -> None:
    assert str(folder) in str(error)


@settings(deadline=None, max_examples=300)
@given(form=st.sampled_from(FORMS), data=st.data())
def test_damage_is_an_artifact_error_or_harmless(
    form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    save_vectors(make(form, 5), folder)
    victim = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(victim.read_bytes())
    if data.draw(st.booleans()):
        victim.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        content[data.draw(st.integers(0, min(len(content), 140) - 1))] = data.draw(st.integers(0, 255))
        victim.write_bytes(content)
    try:
        vectors = open_vectors(folder)
    except ArtifactError as error:
        assert_names(error, folder)
    else:
        assert len(vectors) == 5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"form": "dense"}',
        '{"form": [], "rows": 1}',
        '{"form": "dense", "rows": 5, "metric": "dot", "odd": 1}',
        '{"form": "dense", "rows": 5, "metric": "dot", "values": 3}',
        '{"form": "dense", "rows": 4, "metric": "dot"}',
        "[" * 100_000,
    ],
)
def test_damaged_descriptions(content: str, tmp_path: Path) -> None:
    save_vectors(make("dense", 5), tmp_path)
    (tmp_path / "vectors.json").write_text(content)
    with pytest.raises(ArtifactError, match="build it again"):
        open_vectors(tmp_path)


def test_what_runs_code_is_not_opened(tmp_path: Path) -> None:
    save_vectors(make("dense", 1), tmp_path)
    np.save(tmp_path / "values.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(ArtifactError, match=r"values\.npy"):
        open_vectors(tmp_path)
    with pytest.raises(ArtifactError, match=r"vectors\.json"):
        open_vectors(tmp_path / "nothing")


ZERO = np.zeros((1, 3), np.float32)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: DenseVectors(ZERO[0]), "matrix of float32"),
        (lambda: DenseVectors(ZERO.astype(float)), "float64"),
        (lambda: DenseVectors(ZERO, "euclid"), "cosine"),
        (lambda: make("dense", 2).dot(DenseVectors(ZERO)), "4 and 3 dimensions"),
        (lambda: make("dense", 2).take([2]), "from 0 to 1"),
        (lambda: make("sparse", 2).take([-1]), "from 0 to 1"),
        (lambda: SparseVectors(np.array([0, 2]), ZERO[0].astype(np.int32), ZERO[0], 3), "rise from 0 to 3"),
        (lambda: SparseVectors(np.array([0, 3]), ZERO[0], ZERO[0], 3), "int32 terms"),
        (
            lambda: make("sparse", 1).dot(SparseVectors(np.array([0]), np.empty(0, "i4"), np.empty(0, "f4"), 8)),
            "7 and 8",
        ),
        (lambda: MultiVectors(np.array([0, 2, 1]), ZERO), "rise from 0"),
        (lambda: make("multi-vector", 1).maxsim(MultiVectors(np.array([0, 1]), ZERO)), "4 and 3"),
        (lambda: BinaryVectors(np.zeros((1, 2), np.uint8), 24), "3 columns"),
        (lambda: make("binary", 1).hamming(BinaryVectors(np.zeros((1, 1), np.uint8), 8)), "24 and 8 bits"),
        (lambda: concatenate_vectors([make("dense", 1), make("dense8", 1)]), "2 kinds"),
        (lambda: concatenate_vectors([]), "not 0"),
    ],
)
def test_misuse(work, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        work()


def test_descriptions_are_json_that_people_read(tmp_path: Path) -> None:
    save_vectors(make("sparse", 5), tmp_path)
    assert json.loads((tmp_path / "vectors.json").read_text()) == {
        "form": "sparse", "rows": 5, "metric": "dot", "width": 7
    }  # fmt: skip

"""Exact search beside brute force."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spaniel import ArtifactError, Context, Run, UsageError
from spaniel.data import DenseVectors, SparseVectors, save_vectors
from spaniel.indexing import index_need, open_index
from spaniel.store import Need, Recipe, Store
from spaniel_dense import checks, flat, selection
from spaniel_dense.flat import FlatIndex, FlatIndexer
from spaniel_dense.kept import Kept
from spaniel_dense.selection import Best, sort_best


def brute_force(scores: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    """Sort whole lines: score descending, then row ascending."""
    order = [sorted(range(scores.shape[1]), key=lambda row: (-line[row], row))[:k] for line in scores]
    return [[(row, float(line[row])) for row in rows] for line, rows in zip(scores, order, strict=True)]


def lists(run: Run) -> list[list[tuple[int, float]]]:
    return [list(zip(*(array.tolist() for array in run.of(query)), strict=True)) for query in range(len(run))]


small = st.integers(-2, 2).map(float)


@settings(max_examples=150, deadline=None)
@given(
    documents=st.integers(0, 40).flatmap(lambda n: arrays(np.float32, (n, 2), elements=small)),
    queries=st.integers(0, 7).flatmap(lambda n: arrays(np.float32, (n, 2), elements=small)),
    k=st.integers(1, 50),
    block=st.integers(1, 9),
    batch=st.integers(1, 3),
    room=st.integers(1, 30),
)
def test_ties_everywhere(documents: np.ndarray, queries: np.ndarray, k: int, block: int, batch: int, room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "QUERIES", batch)
        patch.setattr(selection, "ROOM", room)
        patch.setattr("spaniel_dense.kept.blocks", lambda values, _: _blocks(values, block))
        run = flat_over(documents, "dot").search(DenseVectors(queries, "dot"), k)
    assert lists(run) == brute_force(queries @ documents.T, k)


def flat_over(values: np.ndarray, metric: Any) -> FlatIndex:
    return FlatIndex(Kept(DenseVectors(values, metric)))


@settings(max_examples=60, deadline=None)
@given(
    documents=st.integers(1, 60).flatmap(lambda n: arrays(np.float32, (n, 2), elements=small)),
    queries=st.integers(1, 4).flatmap(lambda n: arrays(np.float32, (n, 2), elements=small)),
    k=st.integers(1, 20),
    data=st.data(),
)
def test_masks_and_deletions(documents: np.ndarray, queries: np.ndarray, k: int, data: Any) -> None:
    index = flat_over(documents, "dot")
    gone = np.array(data.draw(st.lists(st.integers(0, len(documents) - 1), unique=True)), np.int64)
    mask = data.draw(arrays(bool, st.integers(0, len(documents) + 5)))
    index.delete(gone)
    held = np.zeros(len(documents), bool)
    held[: len(mask)] = mask[: len(documents)]
    held[gone] = False
    scores = np.where(held, queries @ documents.T, -np.inf)
    expected = [[pair for pair in line if pair[1] > -np.inf] for line in brute_force(scores, k)]
    assert lists(index.search(DenseVectors(queries, "dot"), k, mask)) == expected


def test_thousands_of_equal_vectors_fall_into_order() -> None:
    """More near the cut than there is room for: each score is then computed exactly."""
    documents = np.tile(np.random.default_rng(0).standard_normal((1, 33)).astype(np.float32), (5000, 1))
    documents[4321] *= np.float32(1.01)
    queries = np.concatenate([documents[:1], -documents[:1], 0 * documents[:1]])
    run = flat_over(documents, "dot").search(DenseVectors(queries, "dot"), 3)
    assert [run.of(query)[0].tolist() for query in range(3)] == [[4321, 0, 1], [0, 1, 2], [0, 1, 2]]
    assert len(set(run.of(2)[1].tolist())) == 1


def test_a_score_depends_on_its_pair_alone() -> None:
    """Batches, blocks, shards and neighbours change no bit: the inner product in doubles, rounded once."""
    rng = np.random.default_rng(1)
    documents = rng.standard_normal((3000, 100)).astype(np.float32)
    queries = rng.standard_normal((40, 100)).astype(np.float32)
    index = flat_over(documents, "dot")
    together = index.search(DenseVectors(queries, "dot"), 50)
    for query in range(40):
        alone = index.search(DenseVectors(queries[query : query + 1], "dot"), 50)
        assert alone == together.select([query])
    exact = (queries.astype(np.float64) @ documents.astype(np.float64).T).astype(np.float32)
    assert (np.take_along_axis(exact, together.rows.reshape(40, 50), axis=1) == together.scores.reshape(40, 50)).all()
    assert lists(together) == brute_force(exact, 50)


def test_scores_beyond_single_precision_are_still_ordered() -> None:
    documents = np.array([[1e18, 1e18], [1e18, -1e18], [9e18, 0]], np.float32)
    run = flat_over(documents, "dot").search(DenseVectors(np.array([[3e20, 1.0]], np.float32), "dot"), 3)
    assert run.rows.tolist() == [2, 0, 1]


def _blocks(values: np.ndarray, rows: int) -> Any:
    for start in range(0, len(values), rows):
        yield start, np.asarray(values[start : start + rows], np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_many_vectors_of_every_type(dtype: Any, metric: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "BLOCK", 2**15)
    rng = np.random.default_rng(0)
    documents = (rng.standard_normal((5000, 24)) * 20).astype(dtype)
    documents[7] = 0
    queries = rng.standard_normal((300, 24)).astype(np.float32)
    index = built(Store(tmp_path), DenseVectors(documents, metric))
    run = index.search(DenseVectors(queries, metric), 100)
    exact = queries.astype(np.float64) @ documents.astype(np.float64).T
    if metric == "cosine":
        lengths = np.linalg.norm(documents.astype(np.float64), axis=1)
        exact /= np.linalg.norm(queries, axis=1)[:, None] * np.where(lengths > 0, lengths, 1)
    best = -np.sort(-exact, axis=1)[:, :100]
    near = {"rtol": 1e-5, "atol": 1e-6 * np.abs(exact).max()}
    assert np.allclose(run.scores.reshape(300, 100), best, **near)
    chosen = np.take_along_axis(exact, run.rows.reshape(300, 100).astype(np.int64), axis=1)
    assert np.allclose(chosen, best, **near)


def test_more_is_asked_than_there_is() -> None:
    documents = DenseVectors(np.eye(3, dtype=np.float32), "dot")
    asked = DenseVectors(np.array([[1, 0, 0]], np.float32), "dot")
    assert lists(FlatIndex(Kept(documents)).search(asked, 10)) == [[(0, 1.0), (1, 0.0), (2, 0.0)]]
    assert lists(FlatIndex(Kept(documents[0:0])).search(asked, 10)) == [[]]
    assert len(FlatIndex(Kept(documents)).search(asked[0:0], 10)) == 0


def test_the_order_of_every_score() -> None:
    scores = np.array([np.inf, 3e38, 1.5, 1e-45, 0.0, -0.0, -1e-45, -2.0, -np.inf], np.float32)
    rows = np.array([5, 0, 2**31 - 1, 3, 4, 1, 9, 7, 8])
    found, best = sort_best(np.array([0, 9]), rows, scores, 12)
    assert found[0].tolist() == [5, 0, 2**31 - 1, 3, 1, 4, 9, 7, 8, -1, -1, -1]
    assert best[0, :9].tolist() == scores.tolist()


def test_rising_scores_replace_everything_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ROOM", 3)
    scores = np.arange(3000, dtype=np.float32).reshape(1, -1)
    best = Best(1, 5)
    for start in range(0, 3000, 100):
        best.add(slice(0, 1), scores[:, start : start + 100], np.arange(start, start + 100), np.empty(0, bool))
    assert best.sorted()[0].tolist() == [[2999, 2998, 2997, 2996, 2995]]


# On disk


def built(store: Store, vectors: Any) -> FlatIndex:
    indexer = FlatIndexer(None, Context(store))
    artifact = store.obtain(Need(Recipe("index", "test/flat", "1"), lambda draft: indexer.build(vectors, draft)))
    return indexer.open(artifact)


def test_mapped_vectors_are_linked_and_outlive_their_source(context: Context, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)

    def vectors(draft: Any) -> None:
        save_vectors(DenseVectors(values, "dot"), draft.file("dense"))

    source = Need(Recipe("vectors", "test/vectors", "1"), vectors)
    need = index_need(context, "flat", source, "dense")
    index = open_index(context, "flat", source, "dense")
    kept = context.store.open(need.recipe.address).path / "vectors" / "values.npy"
    given = context.store.open(source.recipe.address).path / "dense" / "values.npy"
    assert kept.stat().st_ino == given.stat().st_ino
    assert isinstance(index.kept.segments[0].values, np.memmap)
    context.store.remove(source.recipe.address)
    assert not context.store.verify(need.recipe.address)
    again = FlatIndexer(None, context).open(context.store.open(need.recipe.address))
    assert (again.kept.segments[0].values == values).all()
    assert again.kept.metric == "dot"


def test_a_part_of_a_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    save_vectors(DenseVectors(values, "dot"), tmp_path / "v")
    mapped = np.load(tmp_path / "v" / "values.npy", mmap_mode="r")
    part = built(Store(tmp_path / "a"), DenseVectors(mapped[2:5], "dot"))
    assert (part.kept.segments[0].values == values[2:5]).all()

    def no_links(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    whole = built(Store(tmp_path / "b"), DenseVectors(mapped, "dot"))
    assert (whole.kept.segments[0].values == values).all()


def test_damage_is_named(tmp_path: Path) -> None:
    built(Store(tmp_path), DenseVectors(np.ones((4, 3), np.float32), "cosine"))
    for name in ("values.npy", "vectors.json"):
        (file,) = tmp_path.glob(f"artifacts/*/vectors/{name}")
        kept = file.read_bytes()
        file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=name):
            built(Store(tmp_path), DenseVectors(np.ones((4, 3), np.float32), "cosine"))
        file.write_bytes(kept)


def test_what_flat_does_not_take(tmp_path: Path) -> None:
    store = Store(tmp_path)
    bad = np.ones((4, 3), np.float32)
    bad[2, 1] = np.inf
    with pytest.raises(UsageError, match="row 2 is not finite"):
        built(store, DenseVectors(bad, "dot"))
    sparse = SparseVectors(np.array([0, 1]), np.array([0], np.int32), np.ones(1, np.float32), 4)
    with pytest.raises(UsageError, match="dense vectors, not sparse"):
        built(store, sparse)
    with pytest.raises(UsageError, match="not by hamming"):
        built(store, DenseVectors(np.ones((4, 3), np.float32), "hamming"))
    index = flat_over(np.ones((4, 3), np.float32), "dot")
    with pytest.raises(UsageError, match="3 dimensions; the queries have 2"):
        index.search(DenseVectors(np.ones((1, 2), np.float32), "dot"), 5)
    with pytest.raises(UsageError, match="query vector is not finite"):
        index.search(DenseVectors(bad[2:3], "dot"), 5)

"""Engines beside exact search: what they find, score, filter, take in and let go."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from spaniel import ArtifactError, Context, Run, UsageError
from spaniel.data import BinaryVectors, DenseVectors, save_vectors
from spaniel.indexing import Change, changed_need, check_artifact, index_need, open_index, open_needed
from spaniel.store import Need, Recipe
from spaniel_dense import checks, engine, faiss_index, filling, quantized, scanning, usearch_index
from spaniel_dense import kernels as kernels_of
from spaniel_dense.threads import threads

ENGINES = {
    "faiss": 0.95,
    'faiss(factory="IVF32,Flat", nprobe=8)': 0.9,
    'faiss(factory="SQ8")': 0.99,
    "usearch": 0.95,
    "usearch(dtype=i8, rescore=4)": 0.95,
    "quantized": 0.99,
    "quantized(bits=1, rescore=16)": 0.9,
    "sharded(index=quantized, shards=2)": 0.99,
}
"""What is tried, and what share of the best 10 it finds at the least."""
_GRAPH = 'faiss(factory="NSG16,Flat")'
"""An engine without filters, slow to build."""


@pytest.fixture
def engines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has engines asked even where comparing everything is faster, as it is for so few vectors."""
    monkeypatch.setattr(engine, "price", lambda queries: math.inf)


def vectors(rows: int, seed: int, scale: float = 1.0) -> np.ndarray:
    """Make clustered vectors of 50 numbers: no multiple of what processors take at once."""
    centres = np.random.default_rng(0).standard_normal((30, 50))
    rng = np.random.default_rng(seed)
    made = centres[rng.integers(30, size=rows)] + 0.7 * rng.standard_normal((rows, 50))
    return (scale * made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def need() -> Callable[..., Need]:
    """Names vectors that are at hand."""

    def make(values: np.ndarray, metric: Any = "dot", name: str = "v") -> Need:
        def build(draft: Any) -> None:
            save_vectors(DenseVectors(values, metric), draft.file("dense"))

        return Need(Recipe("vectors", f"test/{name}", "1", {"rows": len(values), "metric": metric}), build)

    return make


def overlap(found: Run, exact: Run) -> float:
    return float(np.mean([np.isin(exact.of(q)[0], found.of(q)[0]).mean() for q in range(len(exact))]))


@pytest.mark.parametrize("name", [*ENGINES, pytest.param(_GRAPH, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("engines_only")
def test_beside_exact_search(context: Context, need: Any, name: str) -> None:
    # Lengths from 0.2 to 3: under the inner product long vectors win, under the cosine none does.
    lengths = np.random.default_rng(5).uniform(0.2, 3, (2000, 1)).astype(np.float32)
    asked = DenseVectors(vectors(40, 2))
    for metric, values in (("dot", vectors(2000, 1)), ("cosine", lengths * vectors(2000, 1))):
        source = need(values, metric, metric)
        exact = open_index(context, "flat", source, "dense")
        index = open_index(context, name, source, "dense")
        expected, found = exact.search(asked, 10), index.search(asked, 10)
        assert overlap(found, expected) >= ENGINES.get(name, 0.9)
        everything = exact.search(asked, 2000)
        for query in range(40):
            scores = dict(zip(*(a.tolist() for a in everything.of(query)), strict=True))
            rows, given = found.of(query)
            assert [scores[row] for row in rows.tolist()] == given.tolist()  # to the last bit
        assert index.search(asked, 1500) == exact.search(asked, 1500)


@pytest.mark.usefixtures("engines_only")
def test_one_query_is_answered_as_many_are(context: Context, need: Any) -> None:
    source, asked = need(vectors(2000, 1)), DenseVectors(vectors(5, 2))
    for name in ("faiss", "usearch", "quantized", "quantized(bits=1)"):
        index = open_index(context, name, source, "dense")
        together = index.search(asked, 10)
        for query in range(5):
            assert index.search(asked[query : query + 1], 10) == together.select([query])


@pytest.mark.parametrize("shards", [1, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_shards_of_exact_indexes_merge_exactly(context: Context, need: Any, shards: int, dtype: Any) -> None:
    values = np.concatenate([vectors(1500, 1), vectors(1500, 1), np.zeros((3, 50), np.float32)]).astype(dtype)
    source, asked = need(values, "cosine", f"{np.dtype(dtype)}"), DenseVectors(vectors(30, 2))
    whole = open_index(context, "flat", source, "dense")
    parts = open_index(context, f"sharded(shards={shards})", source, "dense")
    mask = np.random.default_rng(0).random(len(values)) < 0.3
    for k in (1, 10, 999, 4000):
        assert parts.search(asked, k) == whole.search(asked, k)
        assert parts.search(asked, k, mask) == whole.search(asked, k, mask)


def test_a_killed_sharded_build_goes_on(context: Context, need: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = need(vectors(900, 1))
    planned = index_need(context, "sharded(shards=3)", source, "dense")
    from spaniel_dense.flat import FlatIndexer

    build, calls = FlatIndexer.build, []

    def counted(self: Any, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        build(self, *arguments)

    monkeypatch.setattr(FlatIndexer, "build", counted)
    with pytest.raises(KeyboardInterrupt):
        context.obtain(planned)
    asked = DenseVectors(vectors(3, 2))
    found = open_needed(context, "sharded(shards=3)", planned).search(asked, 10)
    assert found == open_index(context, "flat", source, "dense").search(asked, 10)


@pytest.mark.usefixtures("engines_only")
@pytest.mark.parametrize(
    "name", ["faiss", "usearch", 'faiss(factory="IVF16,Flat", nprobe=16)', "sharded(index=faiss, shards=2)"]
)
def test_a_killed_engine_goes_on(context: Context, need: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, asked = need(vectors(3 * 1024, 1)), DenseVectors(vectors(30, 2))
    monkeypatch.setattr(filling, "EVERY", 0.0)
    monkeypatch.setattr(checks, "BLOCK", 1)  # 1,024 vectors a block
    made = faiss_index.Faiss if "faiss" in name else usearch_index.Usearch
    append, taken = made.append, []

    def counted(self: Any, values: np.ndarray) -> None:
        if len(taken) == 2:
            taken.append(0)
            raise KeyboardInterrupt
        append(self, values)
        taken.append(len(values))

    monkeypatch.setattr(made, "append", counted)
    planned = index_need(context, name, source, "dense")
    with pytest.raises(KeyboardInterrupt):
        context.obtain(planned)
    artifact = context.obtain(planned)
    assert sum(taken) == 3 * 1024  # nothing was taken in twice
    assert not any("filling" in file for file in artifact.files)
    found = open_needed(context, name, planned).search(asked, 10)
    assert overlap(found, open_index(context, "flat", source, "dense").search(asked, 10)) > 0.95


# Few, many, filtered


def test_an_engine_comes_with_the_vectors_that_need_it(context: Context, need: Any) -> None:
    few, more = need(vectors(engine.EXACT - 10, 1)), need(vectors(600, 3), name="more")
    base = index_need(context, "faiss", few, "dense")
    assert not any("engine" in name for name in context.obtain(base).files)
    rows = range(engine.EXACT - 10, engine.EXACT + 590)
    grown = changed_need(context, "faiss", base, Change(added=more, rows=rows), "dense")
    assert any("engine" in name for name in context.obtain(grown).files)
    shrunk = changed_need(context, "faiss", grown, Change(deleted=range(600)), "dense")
    assert not any("engine" in name for name in context.obtain(shrunk).files)
    asked = DenseVectors(vectors(20, 2))
    whole = need(np.concatenate([vectors(engine.EXACT - 10, 1), vectors(600, 3)]), name="whole")
    exact = open_index(context, "flat", whole, "dense")
    assert overlap(open_needed(context, "faiss", grown).search(asked, 10), exact.search(asked, 10)) > 0.95
    rest = np.arange(engine.EXACT + 590) >= 600
    assert open_needed(context, "faiss", shrunk).search(asked, 10) == exact.search(asked, 10, rest)


@pytest.mark.parametrize("name", ["faiss", 'faiss(factory="IVF32,Flat", nprobe=1)', "usearch", "quantized(bits=1)"])
@pytest.mark.usefixtures("engines_only")
def test_as_many_are_returned_as_can_be(context: Context, need: Any, name: str) -> None:
    """One list of 32, or a graph with most of its nodes closed, has too few: engines try harder, then all are compared."""
    source, asked = need(vectors(5000, 1)), DenseVectors(vectors(10, 2))
    index = open_index(context, name, source, "dense")
    assert (index.search(asked, 400).lengths == 400).all()
    mask = np.random.default_rng(0).random(5000) < 0.25
    found = index.search(asked, 200, mask)
    assert (found.lengths == 200).all()
    assert mask[found.rows].all()
    # All that are allowed lie in clusters that the query is far from.
    far = vectors(5000, 1) @ vectors(10, 2)[0] < 0.05
    assert far.sum() > engine.EXACT
    one = index.search(asked[:1], 50, far)
    assert one.lengths.tolist() == [50]
    assert far[one.rows].all()


@pytest.mark.usefixtures("engines_only")
def test_changes_of_a_mapped_graph(context: Context, need: Any) -> None:
    source = need(vectors(1500, 1))
    artifact = context.obtain(index_need(context, "usearch(dtype=f16)", source, "dense"))
    indexer = context.create("index", "usearch(dtype=f16)")
    before = {name: (artifact.path / name).read_bytes() for name in artifact.files}
    index = indexer.open(artifact)
    index.add(DenseVectors(vectors(500, 3)), np.arange(5000, 5500))
    index.delete(np.arange(0, 100))
    found = index.search(DenseVectors(vectors(500, 3)), 1)
    assert (found.rows == np.arange(5000, 5500)).mean() > 0.98
    assert {name: (artifact.path / name).read_bytes() for name in artifact.files} == before


def test_other_options_of_searching_rebuild_nothing(context: Context, need: Any) -> None:
    source = need(vectors(1500, 1))
    for name, others in (
        ("faiss", ("faiss(ef_search=7)", "faiss(rescore=3, nprobe=2)")),
        ("usearch", ("usearch(ef_search=9)", "usearch(rescore=2)")),
        ("quantized", ("quantized(rescore=9)",)),
        ("sharded(index=faiss)", ("sharded(index=faiss(ef_search=7))",)),
    ):
        address = index_need(context, name, source, "dense").recipe.address
        assert {index_need(context, other, source, "dense").recipe.address for other in others} == {address}
        opened = open_index(context, name, source, "dense")
        assert all(open_index(context, other, source, "dense") is not opened for other in others)
    assert index_need(context, 'faiss(factory="Flat")', source, "dense").recipe.address != (
        index_need(context, "faiss", source, "dense").recipe.address
    )
    assert index_need(context, "faiss", source, "dense").recipe.config["references"]["faiss"] == version("faiss-cpu")


def test_everything_is_compared_where_that_is_faster(context: Context, need: Any) -> None:
    """A graph compares 16 vectors for each candidate, each from another place; exact search reads in order."""
    source = need(vectors(5000, 1))
    index = open_index(context, "faiss(ef_search=64)", source, "dense")
    asked: list[int] = []
    found = index._engine.candidates
    index._engine.candidates = lambda queries, *others: asked.append(len(queries)) or found(queries, *others)
    many = DenseVectors(vectors(100, 2))
    assert index.search(many, 10) == open_index(context, "flat", source, "dense").search(many, 10)
    assert not asked
    index.search(many[:1], 10)
    assert asked == [1]
    index.search(many[:1], 1000)
    assert asked == [1]


def test_a_position_beyond_the_vectors_is_never_read(context: Context, need: Any) -> None:
    for dtype in (np.float32, np.float16):
        index = open_index(context, "quantized", need(vectors(1500, 1).astype(dtype), name=f"{dtype}"), "dense")
        index._engine.candidates = lambda queries, count, *others: np.full((len(queries), count), 10**9)
        index._engine.evaluations = lambda count: 0.0
        with pytest.raises(ArtifactError, match="vector 1000000000 of 1500"):
            index.search(DenseVectors(vectors(2, 2)), 5)


def test_an_engines_file_from_elsewhere_needs_trust(tmp_path: Path, context: Context, need: Any) -> None:
    """Its library follows whatever is in it; `trust` says that the sender is known."""
    source = need(vectors(1500, 1))
    asked = DenseVectors(vectors(3, 2))
    for name in ("faiss", "usearch", "sharded(index=usearch, shards=1)"):
        planned = index_need(context, name, source, "dense")
        context.obtain(planned)
        context.store.export(planned.recipe.address, tmp_path / f"{planned.recipe.address}.tar")
        there = Context(tmp_path / f"there {name}", device="cpu")
        with pytest.raises(ArtifactError, match=r"written elsewhere.*--trust"):
            there.store.import_(
                tmp_path / f"{planned.recipe.address}.tar", lambda found, c=there: check_artifact(c, found)
            )
        assert not list(there.store.list())
        there.store.import_(tmp_path / f"{planned.recipe.address}.tar", trust=True)
        found = open_needed(there, name, planned).search(asked, 5)
        assert found == open_needed(context, name, planned).search(asked, 5)
        there.store.remove(planned.recipe.address)
        there.store.import_(tmp_path / f"{planned.recipe.address}.tar")
        with pytest.raises(ArtifactError, match="written elsewhere"):
            open_needed(Context(there.store, device="cpu"), name, planned)


def test_usearch_searches_in_as_many_threads_as_are_set(
    context: Context, need: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads() == 1
    made = open_index(context, "usearch", need(vectors(1500, 1)), "dense")._engine
    asked: list[int] = []
    search = made.index.search
    made.index = SimpleNamespace(
        search=lambda *given, threads, **others: asked.append(threads) or search(*given, threads=threads, **others),
        __len__=lambda: 1500,
    )
    monkeypatch.setattr(usearch_index, "over_fetch", lambda count, *others: count)
    monkeypatch.setattr(usearch_index, "len", lambda index: 1500, raising=False)
    made.candidates(vectors(5, 2), 3, None, 1)
    assert asked == [1]


# Codes


def test_scans_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (5000, 50), dtype=np.int8)
    queries = rng.integers(-3000, 3000, (7, 50), dtype=np.int16)
    eligible = rng.random(5000) < 0.5
    products = queries.astype(np.int64) @ codes.T.astype(np.int64)
    bits = rng.integers(0, 256, (5000, 16), dtype=np.uint8)
    asked = rng.integers(0, 256, (7, 16), dtype=np.uint8)
    distances = BinaryVectors(asked, 128).hamming(BinaryVectors(bits, 128))
    for mask in (np.empty(0, bool), eligible):
        for scan, arguments, keys in (
            (scanning.scan_bytes, (queries, codes), -products),
            (scanning.scan_bits, (asked.view(np.uint64), bits.view(np.uint64)), distances),
        ):
            found = np.full((7, 300), -1, np.int64)
            scan(*arguments, mask, found)
            held = np.flatnonzero(eligible) if len(mask) else np.arange(5000)
            best = np.argsort(keys[:, held], axis=1, kind="stable")[:, :300]
            assert (np.sort(held[best], axis=1) == np.sort(found, axis=1)).all()


def test_products_of_bytes_cannot_overflow() -> None:
    for dimensions in (1, 384, 4096, 20_000):
        codes = quantized.Bytes(1, dimensions)
        assert codes._most * 127 * dimensions < 2**31
        assert codes._most >= 127 or dimensions > 100_000


# What is said


def test_a_missing_engine_is_said_with_the_command(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda module: None)
    for name in ("faiss", "usearch"):
        with pytest.raises(UsageError, match=rf'pip install "spaniel-dense\[{name}\]"'):
            context.create("index", name)


def test_what_faiss_does_not_understand(context: Context, need: Any) -> None:
    source = need(vectors(1200, 1))
    with pytest.raises(UsageError, match="HNSW32,Falt"):
        open_index(context, 'faiss(factory="HNSW32,Falt")', source, "dense")
    with pytest.raises(UsageError, match=r"IVF2000,Flat.*1200 vectors"):
        open_index(context, 'faiss(factory="IVF2000,Flat")', source, "dense")


@pytest.mark.parametrize("factory", ["OPQ4_8,PQ4x4", "HNSW8_PQ4x4", "IVF16,PQ4x4", "IVF16_HNSW8,Flat", "RQ2x4"])
def test_faiss_warns_of_nothing(context: Context, need: Any, factory: str, capfd: pytest.CaptureFixture[str]) -> None:
    open_index(context, f'faiss(factory="{factory}")', need(padded(vectors(1100, 1)), name="padded"), "dense")
    assert "WARNING" not in capfd.readouterr().err


def padded(values: np.ndarray) -> np.ndarray:
    """Add zeros, up to a number of dimensions that divides well."""
    return np.pad(values, ((0, 0), (0, 64 - values.shape[1])))


def test_damage_of_engines_is_named(tmp_path: Path, context: Context) -> None:
    (tmp_path / faiss_index._FILE).write_bytes(b"none")
    made = context.create("index", "faiss").engine(4)
    with pytest.raises(ArtifactError, match=r"index\.faiss"):
        made.read(tmp_path)
    (tmp_path / "index.usearch").write_bytes(b"none")
    with pytest.raises(ArtifactError, match=r"index\.usearch"):
        context.create("index", "usearch").engine(4).read(tmp_path)


@pytest.mark.parametrize("name", ["flat", "quantized", "quantized(bits=1)", "usearch"])
def test_the_first_search_loads_no_kernel(name: str, need: Any, tmp_path: Path) -> None:
    context = Context(tmp_path)
    made = need(vectors(1100, 1), "cosine")
    index = open_index(context, name, made, "dense")
    kernels = {
        kernel for module in (kernels_of, scanning) for kernel in vars(module).values() if hasattr(kernel, "signatures")
    }
    loaded = {kernel: len(kernel.signatures) for kernel in kernels}
    index.search(DenseVectors(vectors(1, 2), "cosine"), 10)
    assert {kernel: len(kernel.signatures) for kernel in kernels} == loaded
    assert any(loaded.values())


def test_the_engine_answers_where_a_test_wants_it(need: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_index(Context(tmp_path), "sharded(index=usearch, shards=2)", need(vectors(2500, 1)), "dense")
    asked = DenseVectors(vectors(3, 2), "dot")
    monkeypatch.setattr(engine.EngineIndex, "_search", lambda *_: pytest.fail("the engine was asked"))
    index.search(asked, 5)
    index.asks_engine = True
    with pytest.raises(pytest.fail.Exception, match="the engine was asked"):
        index.search(asked, 5)

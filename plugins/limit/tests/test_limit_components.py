"""The components: contracts, rankings and diagnoses beside brute force, explanations, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spaniel import Context, Corpus, Document, Queries, Run, UsageError
from spaniel.collections import find_dataset
from spaniel.explain import explain_pipeline, explainers_of
from spaniel.system import Task, open_task
from spaniel.testing import Cli, collection, contract
from spaniel_limit.diagnosis import Options, diagnose, encoder_of
from spaniel_limit.moment_curve import document_vectors, even_angles, query_vectors
from spaniel_limit.patterns import all_sets
from spaniel_limit.ranking import NOWHERE, Wanted, first_sets, rank_run, rank_vectors
from spaniel_limit.reachable import reach
from spaniel_limit.table_encoder import Examples, TableEncoder, vocabulary
from spaniel_limit.term_weights import term_weights

ORACLE = "dense(encoder=moment-curve(collection='limit:documents=20,queries=190'))"

test_moment_curve = contract("encode/moment-curve", options={"collection": "limit:documents=12,queries=60"})
test_moment_curve_of_three = contract(
    "encode/moment-curve", options={"collection": "limit:documents=9,queries=80,k=3,min_items=20", "k": 3}
)
test_top_k_set = contract("explain/top-k-set", target="dense(encoder=moment-curve)")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"), device="cpu")


@pytest.fixture(scope="module")
def small(context: Context) -> Task:
    return open_task(context, find_dataset(context, "limit:documents=20,queries=190"), None)


# Ranking


def brute(scores: np.ndarray, sets: list[list[int]]) -> tuple[list[int], list[float]]:
    ranks, margins = [], []
    for line, chosen in zip(scores, sets, strict=True):
        order = sorted(range(len(line)), key=lambda row: (-line[row], row))
        ranks += [order.index(row) for row in sorted(chosen)]
        margins.append(min(line[chosen]) - max(np.delete(line, chosen)))
    return ranks, margins


def test_ranks_by_vectors_and_by_runs_are_those_of_sorting() -> None:
    rng = np.random.default_rng(0)
    # Whole numbers make ties.
    queries, documents = (rng.integers(-2, 3, (size, 4)).astype(np.float32) for size in (30, 17))
    sets = [rng.choice(17, rng.integers(1, 5), replace=False).tolist() for _ in range(30)]
    wanted, scores = Wanted.from_sets(sets), queries @ documents.T
    ranks, margins = brute(scores, sets)
    by_vectors = rank_vectors(queries, documents, wanted)
    assert by_vectors.ranks.tolist() == ranks
    np.testing.assert_allclose(by_vectors.margins, margins)
    run = Run.from_matrix(np.tile(np.arange(17, dtype=np.int32), (30, 1)), scores)
    by_run = rank_run(run, wanted, 17)
    assert by_run.ranks.tolist() == ranks
    np.testing.assert_allclose(by_run.margins, margins)
    expected = [
        set(np.lexsort((np.arange(17), -line))[: len(one)].tolist()) == set(one)
        for line, one in zip(scores, sets, strict=True)
    ]
    assert by_run.whole(wanted) == pytest.approx(np.mean(expected))
    cut = rank_run(run.cut(3), wanted, 17)
    assert [rank if rank < 3 else NOWHERE for rank in ranks] == cut.ranks.tolist()
    assert cut.recall(wanted, 3) == pytest.approx(by_run.recall(wanted, 3))
    told = ~np.isnan(cut.margins)
    np.testing.assert_allclose(cut.margins[told], np.array(margins)[told])
    assert first_sets(run, wanted.sizes) >= {
        tuple(sorted(one)) for one, fits in zip(sets, expected, strict=True) if fits
    }


def test_empty_lists_tell_nothing() -> None:
    wanted = Wanted.from_sets([[0], [1, 2]])
    found = rank_run(Run.empty(2), wanted, 3)
    assert found.recall(wanted, 10) == 0
    assert found.whole(wanted) == 0
    assert np.isnan(found.margins).all()
    assert first_sets(Run.empty(2), wanted.sizes) == set()
    everything = Wanted.from_sets([[0, 1]])
    assert np.isnan(rank_vectors(np.ones((1, 2), np.float32), np.eye(2, dtype=np.float32), everything).margins).all()


# The oracle


def test_the_oracle_returns_every_set_and_only_them(context: Context, small: Task) -> None:
    found = diagnose(context, context.pipeline(ORACLE), small, Options(sets=40))
    assert found.pipeline_returned.whole == 1.0
    assert (found.sets, found.sets_returned, found.documents_returned) == (190, 190, 20)
    (full,) = found.by_dimensions
    assert full.dimensions == 4
    assert (full.whole, full.wanted_in_reach, full.any_in_reach) == (1.0, 1.0, 1.0)
    assert full.margin is not None
    assert full.margin > 0
    assert found.largest_margin is not None
    assert full.margins[0] <= found.largest_margin
    assert "certified: 4 dimensions order every query here" in found.to_text()


def test_three_of_a_set_take_six_dimensions(context: Context) -> None:
    name = "limit:documents=12,queries=220,k=3,min_items=60"
    task = open_task(context, find_dataset(context, name), None)
    found = diagnose(context, context.pipeline(f"dense(encoder=moment-curve(collection='{name}', k=3))"), task)
    assert found.by_dimensions[-1].dimensions == 6
    assert found.pipeline_returned.whole == 1.0
    with pytest.raises(UsageError, match="queries with 3 relevant documents; give k=3"):
        context.run(f"dense(encoder=moment-curve(collection='{name}'))", task.queries, task.corpus)


def test_documents_that_nothing_asks_for_share_one_place(context: Context) -> None:
    name = "limit:documents=300,queries=45"
    task = open_task(context, find_dataset(context, name), None)
    found = diagnose(
        context, context.pipeline(f"dense(encoder=moment-curve(collection='{name}'))"), task, Options(sets=0)
    )
    assert found.pipeline_returned.whole == 1.0
    assert found.documents_returned == 10


# The diagnosis


def test_by_dimensions_is_what_cut_vectors_do(context: Context, small: Task) -> None:
    found = diagnose(context, context.pipeline(ORACLE), small, Options((2, 5), (2, 3), 60))
    angles, sets = even_angles(21)[:20], all_sets(20, 2)
    assert [one.dimensions for one in found.by_dimensions] == [2, 3, 4]
    two = found.by_dimensions[0]
    # The first two dimensions are the circle itself, on which only neighbours are in reach.
    assert two.any_in_reach is not None
    assert two.any_in_reach < 0.3
    queries = query_vectors(angles[sets])[:, :2]
    documents = document_vectors(angles, 2)[:, :2]
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    oracle = rank_vectors(queries.astype(np.float32), documents.astype(np.float32), Wanted.from_sets(sets.tolist()))
    assert two.recall[5] == pytest.approx(oracle.recall(Wanted.from_sets(sets.tolist()), 5), abs=0.02)
    assert found.to_json()["by_dimensions"][0]["dimensions"] == 2


def test_pipelines_that_are_no_search_by_one_vector_are_diagnosed_by_their_runs(context: Context, small: Task) -> None:
    pipeline = context.pipeline(f"({ORACLE} % 3) >> cut(k=2)")
    assert encoder_of(pipeline) is None
    found = diagnose(context, pipeline, small)
    assert found.by_dimensions == ()
    assert found.pipeline_returned.whole == 1.0
    assert found.pipeline_returned.margin is None, "a list of two documents tells no margin"
    assert "in reach" not in found.to_text()


def test_what_cannot_be_diagnosed_is_told(context: Context, small: Task) -> None:
    with pytest.raises(UsageError, match="4 dimensions; 5 of them"):
        diagnose(context, context.pipeline(ORACLE), small, Options(dimensions=(5,)))
    unjudged = Task(small.dataset, "", small.corpus, small.queries, None)
    with pytest.raises(UsageError, match="has no judgments"):
        diagnose(context, context.pipeline(ORACLE), unjudged)
    other = Corpus.from_documents([Document("nobody", "", "likes nothing")])
    with pytest.raises(UsageError, match="no query with a relevant document"):
        diagnose(context, context.pipeline(ORACLE), Task(small.dataset, "", other, small.queries, small.qrels))


def test_ordinary_judgments_of_several_sizes(context: Context, tmp_path: Path) -> None:
    task = open_task(context, find_dataset(context, str(collection().write(tmp_path / "plain"))), None)
    found = diagnose(context, context.pipeline("dense(encoder=moment-curve)"), task, Options((1, 24), sets=10))
    assert found.queries == 6
    assert found.pipeline_returned.recall[24] == 1.0
    assert found.graph.edges == 0


def test_a_search_by_terms_is_told_which_sets_its_terms_reach(context: Context, small: Task) -> None:
    pytest.importorskip("spaniel_bm25", reason="spaniel-bm25 is not installed")
    found = diagnose(context, context.pipeline("bm25"), small, Options(sets=20))
    assert found.by_dimensions == ()
    assert found.terms is not None
    assert found.pipeline_returned.wanted_in_reach == 1.0
    assert f"by some weights of 0 or more over {found.terms:,} terms" in found.to_text()
    with pytest.raises(UsageError, match="bm25 is no search by one vector a text"):
        diagnose(context, context.pipeline("bm25"), small, Options(dimensions=(2,)))
    # Both words of the first document are in the second, more often.
    texts = [("d1", "cat dog"), ("d2", "cat cat cat dog dog dog"), ("d3", "bird bird")]
    corpus = Corpus.from_documents([Document(name, "", text) for name, text in texts])
    weights = term_weights(context, context.make(context.bind("retrieve", "bm25(b=0)")), corpus)
    reached = [
        reach(weights, row, nonnegative=True).reachable for row in corpus.rows([name for name, _ in texts])[:, None]
    ]
    assert reached == [False, True, True]


# The explainer


def test_an_explanation_says_what_is_in_reach(context: Context, small: Task) -> None:
    query = small.queries.texts[0]
    (run,) = [context.run(ORACLE, Queries.from_lists(["q"], [query]), small.corpus)]
    rows = [int(run.rows[0]), int(run.rows[-1])]
    best, worst = explain_pipeline(context, ORACLE, query, rows, small.corpus, "top-k-set")
    assert best.parameters["in reach of some query"] is True
    assert set(best.parameters["set"]) == set(small.qrels[small.queries.ids[0]])  # type: ignore[index]
    threshold, margin = best.contributions
    assert margin.score > 0 > worst.contributions[1].score
    assert threshold.score == pytest.approx(float(run.scores[1] + run.scores[2]) / 2, abs=1e-6)
    assert worst.parameters["in reach of some query"] is True, "four dimensions return every pair"
    assert worst.document_id in worst.parameters["set"]
    assert f"some query vector puts it and {best.document_id} first" in worst.contributions[1].note


def test_an_explanation_says_what_is_out_of_reach(context: Context) -> None:
    # On a circle, documents that are no neighbours are never first together.
    name = "limit:documents=9,queries=9,k=1,min_items=5"
    task = open_task(context, find_dataset(context, name), None)
    pipeline = f"dense(encoder=moment-curve(collection='{name}', k=1))"
    query = task.queries.texts[0]
    run = context.run(pipeline, task.queries.select([0]), task.corpus)
    first, opposite = explain_pipeline(context, pipeline, query, [run.rows[0], run.rows[-1]], task.corpus, "top-k-set")
    assert first.parameters["in reach of some query"] is True
    assert opposite.parameters["in reach of some query"] is False
    assert "no query vector at all puts it and" in opposite.contributions[1].note


def test_it_is_not_what_explains_a_search_unasked(context: Context) -> None:
    pytest.importorskip("spaniel_explain", reason="spaniel-explain is not installed")
    names = explainers_of(context, context.bind("retrieve", "dense(encoder=moment-curve)"))
    assert "spaniel-limit/top-k-set" in names[1:]
    with pytest.raises(UsageError, match="not retrieve/bm25"):
        explain_pipeline(context, "bm25", "dog", [0], collection().corpus(), "top-k-set")


# Training


def test_a_table_learns_its_collection() -> None:
    sets = all_sets(8, 2)
    documents = [
        "who likes " + " ".join(f"x{q}" for q, chosen in enumerate(sets.tolist()) if row in chosen) for row in range(8)
    ]
    examples = Examples([f"who likes x{q}" for q in range(len(sets))], documents, sets)
    words = vocabulary(examples.queries, examples.documents)
    assert len(words) == len(sets) + 2
    encoder = TableEncoder(words, 8, 0)
    wanted = Wanted.from_sets(sets.tolist())

    def recall() -> float:
        return rank_vectors(encoder.encode(examples.queries), encoder.encode(documents), wanted).recall(wanted, 2)

    before, first = recall(), encoder.table.copy()
    assert encoder.train(examples, 150) < 1.2
    assert before < 0.9
    assert recall() == 1.0
    assert not np.allclose(first, encoder.table)
    unknown = encoder.encode(["nothing known", ""])
    assert np.isfinite(unknown).all()


def test_words_of_every_script_are_whole() -> None:
    assert list(vocabulary(["हिन्दी भाषा a", "E\u0301lan"], ["ÉLAN ﬁn"])) == ["हिन्दी", "भाषा", "a", "élan", "fin"]


def test_a_step_of_the_table_goes_down_the_gradient() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    examples = Examples(["a b", "c"], ["a a d", "b c", "d e"], np.array([[0, 1], [1, 2]]))
    words = vocabulary(examples.queries, examples.documents)
    encoder = TableEncoder(words, 3, 1)
    table = torch.tensor(encoder.table.astype(np.float64), requires_grad=True)
    bags = [
        torch.tensor(encoder.bags(texts).toarray(), dtype=torch.float64)
        for texts in (examples.queries, examples.documents)
    ]
    queries, held = (torch.nn.functional.normalize(bag @ table, dim=1) for bag in bags)
    loss = -torch.log_softmax(queries @ held.T / 0.1, dim=1).gather(1, torch.tensor(examples.sets)).mean()
    loss.backward()
    before = encoder.table.copy()
    assert encoder.train(examples, 1, lr=1e-3) == pytest.approx(loss.item(), rel=1e-5)
    # The first step of Adam is the learning rate, against the sign of the gradient.
    moved = np.abs(table.grad.numpy()) > 1e-6
    np.testing.assert_allclose((before - encoder.table)[moved], 1e-3 * np.sign(table.grad.numpy())[moved], rtol=0.02)


# The command


def test_the_command_diagnoses_and_writes(run_cli: Cli, tmp_path: Path) -> None:
    arguments = ("capacity", "check", ORACLE, "limit:documents=20,queries=190", "--dimensions", "2", "--sets", "10")
    shown = run_cli(*arguments, "--depth", "2").stdout
    assert "returned whole           100.0% of the queries" in shown
    told = run_cli(*arguments, "--json").json
    assert told["graph"]["queries"] == 190
    assert [one["dimensions"] for one in told["by_dimensions"]] == [2, 4]
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    for name in ("made.png", "made.json", "made.txt"):
        assert "wrote" in run_cli(*arguments, "-o", str(tmp_path / name)).stdout
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
    refused = run_cli(*arguments, "-o", str(tmp_path / "made.doc"))
    assert (refused.exit_code, ".png, .json or .txt" in refused.stderr) == (2, True)


def test_the_command_draws_the_curve(run_cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    shown = run_cli("capacity", "curve", "-d", "2", "-d", "3", "--seeds", "2", "-o", str(tmp_path / "curve.png")).stdout
    assert shown.startswith("dimensions  documents  largest solved  published  trainings\n2 ")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    told = run_cli("capacity", "curve", "-d", "2", "--strategy", "gallop", "--json").json
    assert told["curve"]["2"][0]["n"] in (2, 3)


def test_the_command_says_which_dimension_judgments_need(run_cli: Cli, tmp_path: Path) -> None:
    data = "limit:documents=8,queries=28,min_items=10"
    arguments = ("capacity", "curve", data, "-d", "2", "-d", "6", "--seeds", "2")
    shown = run_cli(*arguments).stdout
    assert "28 queries with relevant documents, 8 documents" in shown
    assert "enough, in theory        4 dimensions" in shown
    assert "free embeddings return every set with 6, 6 dimensions (2 seeds)" in shown
    told = run_cli(*arguments, "--json").json
    assert [one["d"] for one in told["seeds"].values()] == [6, 6]
    assert list(told["seeds"]) == ["42", "43"]
    trials = told["seeds"]["42"]["trials"]
    assert [(trial["d"], trial["solved"]) for trial in trials] == [(2, False), (6, True)]
    refused = run_cli("capacity", "curve", data, "-k", "3")
    assert (refused.exit_code, "-k is of every set of k, not of DATA" in refused.stderr) == (2, True)
    refused = run_cli("capacity", "curve", "--queries", "3")
    assert (refused.exit_code, "--queries is of DATA" in refused.stderr) == (2, True)
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    assert "wrote" in run_cli(*arguments, "-o", str(tmp_path / "needed.png")).stdout
    assert (tmp_path / "needed.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_says_bounds_and_graphs(run_cli: Cli) -> None:
    assert run_cli("capacity", "bound", "1000000000", "1000").stdout.startswith("6,177 dimensions or more")
    assert run_cli("capacity", "bound", "46", "2", "-d", "4", "--json").json["largest_margin"] == pytest.approx(
        0.2143, abs=1e-3
    )
    assert "density 0.085481, mean strength 28.4653" in run_cli("capacity", "graph", "limit").stdout

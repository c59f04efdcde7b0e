"""Run files: every tool sees the order of the run."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.data import (
    Corpus,
    Document,
    Faults,
    FolderDataset,
    Queries,
    Run,
    read_qrels,
    read_run,
    read_run_file,
    trec,
    write_run,
)
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Store

DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
NAMES = ["a", "aa", "b", "B", "10", "9", "é", "z", "ﬀ", "\U00010000"]
CORPUS = Corpus.from_documents(Document(name, "", name) for name in NAMES)
QUERIES = Queries.from_lists(["q1", "q2", "q3"], ["x", "y", "z"])
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, float("inf"), float("-inf")]),
    st.floats(width=32, allow_nan=False),
)
LISTS = st.dictionaries(st.integers(0, len(NAMES) - 1), SCORES).map(lambda d: list(d.items()))
RUNS = st.lists(LISTS, min_size=3, max_size=3).map(Run.from_lists)


@settings(deadline=None)
@given(run=RUNS)
def test_round_trip_keeps_the_order(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("runs") / "run.trec"
    write_run(path, run, QUERIES, CORPUS)
    again = read_run(path, QUERIES, CORPUS)
    assert np.array_equal(again.offsets, run.offsets)
    assert np.array_equal(again.rows, run.rows)
    for line in path.read_text().splitlines():
        query, literal, name, rank, score, tag = line.split()
        assert (literal, tag, query in QUERIES.ids, name in NAMES) == ("Q0", "spaniel", True, True)
        float(score), int(rank)
    for query in range(len(run)):
        assert (np.diff(again.of(query)[1].astype(np.longdouble)) < 0).all()


@given(st.lists(SCORES, max_size=30))
def test_strictly_decreasing_moves_each_score_as_little_as_it_can(scores: list[float]) -> None:
    given = np.sort(np.array(scores, np.float32))[::-1]
    got = trec.strictly_decreasing(given)
    assert (got[1:] < got[:-1]).all()
    expected = list(given)
    with np.errstate(over="ignore"):
        for place in range(1, len(expected)):
            if not expected[place] < expected[place - 1]:
                expected[place] = np.nextafter(expected[place - 1], np.float32(-np.inf))
    if all(after < before for before, after in pairwise(expected)):
        assert got.tolist() == expected


def test_pytrec_eval_sees_the_same_order(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(0)
    for trial in range(30):
        lists = [[(int(row), float(rng.integers(3))) for row in rng.permutation(len(NAMES))] for _ in range(3)]
        run = Run.from_lists(lists)
        path = tmp_path / f"{trial}.trec"
        write_run(path, run, QUERIES, CORPUS)
        parsed = pytrec_eval.parse_run(path.read_text().splitlines())
        # The raw scores, ties and all, under trec_eval's own rule, and what is written: both give our order.
        raw = {
            name: {CORPUS.ids([row])[0]: float(score) for row, score in zip(*run.of(query), strict=True)}
            for query, name in enumerate(QUERIES.ids)
        }
        for query, name in enumerate(QUERIES.ids):
            for rank, document in enumerate(CORPUS.ids(run.of(query)[0]), 1):
                evaluator = pytrec_eval.RelevanceEvaluator({name: {document: 1}}, {"recip_rank"})
                for seen in (parsed, raw):
                    assert evaluator.evaluate({name: seen[name]})[name]["recip_rank"] == pytest.approx(1 / rank)


def test_the_file(tmp_path: Path) -> None:
    run = Run.from_lists([[(CORPUS.rows(["a"])[0], 0.5), (CORPUS.rows(["b"])[0], 0.5)], [], []])
    write_run(tmp_path / "run.trec.gz", run, QUERIES, CORPUS, tag="mine")
    text = gzip.decompress((tmp_path / "run.trec.gz").read_bytes()).decode()
    assert text == "q1 Q0 b 1 0.5 mine\nq1 Q0 a 2 0.49999997 mine\n"
    write_run(tmp_path / "again.trec.gz", run, QUERIES, CORPUS, tag="mine")
    assert (tmp_path / "again.trec.gz").read_bytes() == (tmp_path / "run.trec.gz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.trec.gz", "run.trec.gz"]


def test_blocks_of_lines_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.from_lists([[(0, 3.0), (1, 2.0), (2, 1.0)], [], [(5, 1.0), (4, 1.0)]])
    write_run(tmp_path / "whole.trec", run, QUERIES, CORPUS)
    monkeypatch.setattr(trec, "_BLOCK", 2)
    write_run(tmp_path / "blocks.trec", run, QUERIES, CORPUS)
    assert (tmp_path / "blocks.trec").read_bytes() == (tmp_path / "whole.trec").read_bytes()
    assert np.array_equal(read_run(tmp_path / "whole.trec", QUERIES, CORPUS).rows, run.rows)


def test_nothing_is_left_of_a_file_that_fails(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row 99"):
        write_run(tmp_path / "run.trec", Run.from_lists([[(99, 1.0)], [], []]), QUERIES, CORPUS)
    with pytest.raises(UsageError, match="3"):
        write_run(tmp_path / "run.trec", Run.empty(2), QUERIES, CORPUS)
    with pytest.raises(UsageError, match="tag"):
        write_run(tmp_path / "run.trec", Run.empty(3), QUERIES, CORPUS, tag="two words")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_run(tmp_path / "none" / "run.trec", Run.empty(3), QUERIES, CORPUS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"q1 Q0 b 2 0.5", "run.trec:2: expected the six columns of a TREC run, not 5"),
        (b"q1 Q0 b 2 nan t", "run.trec:2: the score 'nan' is not a number"),
        (b"q1 Q0 b 2 high t", "run.trec:2: the score 'high' is not a number"),
        (b"q1 Q0 \xff 2 0.5 t", "run.trec:2: .* no UTF-8"),
        (b"q1 Q0 nobody 2 0.5 t", "run.trec:2: the collection has no document 'nobody'"),
        (b"q1 Q0 a 2 0.5 t", "run.trec:2: 'a' comes twice for query 'q1'"),
    ],
)
def test_malformed_lines(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "run.trec"
    path.write_bytes(b"q1 Q0 a 1 0.75 t\n" + line + b"\n\nother Q0 zzz 1 1 t\n")
    with pytest.raises(UsageError, match=message):
        read_run(path, QUERIES, CORPUS)
    faults = Faults("skip")
    run = read_run(path, QUERIES, CORPUS, faults)
    assert CORPUS.ids(run.rows) == ["a"]
    assert run.scores.tolist() == [0.75]
    assert faults.count + faults.duplicates == 1


def test_anserini_run_of_cacm(tmp_path: Path) -> None:
    folder = DATA / "cacm"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}: set SPANIEL_TEST_DATA")
    pytrec_eval = pytest.importorskip("pytrec_eval")
    dataset = FolderDataset(folder, store=Store(tmp_path / "store"))
    need = dataset.documents()
    corpus = Corpus.open(Store(tmp_path / "store").obtain(need), need)
    assert len(corpus) == 3204
    queries = dataset.queries("test")
    qrels = read_qrels(folder / "qrels" / "test.tsv")
    assert (len(queries), sum(len(judged) for judged in qrels.values())) == (52, 796)
    run = read_run(folder / "gold" / "bm25-anserini.trec", queries, corpus)
    write_run(tmp_path / "again.trec", run, queries, corpus)
    for path in (folder / "gold" / "bm25-anserini.trec", tmp_path / "again.trec"):
        measures = {"P_30", "map", "ndcg_cut_10"}
        evaluator = pytrec_eval.RelevanceEvaluator({q: qrels.gains(q) for q in qrels}, measures)
        per_query = evaluator.evaluate(pytrec_eval.parse_run(path.read_text().splitlines())).values()
        means = {measure: round(float(np.mean([one[measure] for one in per_query])), 4) for measure in measures}
        assert means == {"P_30": 0.1981, "map": 0.2806, "ndcg_cut_10": 0.4604}


ODD = ("a b", "a%20b", "a%2520b", "a%25b", "a%b", "50% off now", "plain%20", "%", "%%", "%2", "x")


@pytest.mark.parametrize("name", ["run.trec", "run.trec.gz", "run.parquet"])
def test_every_id_survives_run_files(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    corpus = Corpus.from_documents(Document(name) for name in ODD)
    queries = Queries.from_lists(ODD[:4], ["x"] * 4)
    run = Run.from_lists([[(row, float(-row - at)) for row in range(len(ODD))] for at in range(4)])
    write_run(tmp_path / name, run, queries, corpus)
    again = read_run(tmp_path / name, queries, corpus)
    assert np.array_equal(again.rows, run.rows)
    assert np.array_equal(again.offsets, run.offsets)
    if name == "run.trec":
        lines = [line.split() for line in (tmp_path / name).read_text().splitlines()]
        assert {len(line) for line in lines} == {6}
        assert len({line[2] for line in lines}) == len(ODD)


def test_an_id_that_another_tool_wrote_as_it_is(tmp_path: Path) -> None:
    corpus = Corpus.from_documents([Document("http://x/a%20b"), Document("100%")])
    queries = Queries.from_lists(["q%201"], ["x"])
    (tmp_path / "run").write_text("q%201 Q0 http://x/a%20b 1 2 t\nq%201 Q0 100% 2 1 t\n")
    assert corpus.ids(read_run(tmp_path / "run", queries, corpus).rows) == ["http://x/a%20b", "100%"]


MAKES = {
    "ranx.json": '{"q1": {"a": 2.5, "b": 3}, "q2": {"é": 1}}',
    "lines.jsonl": '{"q_id": "q1", "doc_id": "a", "score": 2.5}\n{"qid": "q1", "docno": "b", "score": 3}\n'
    '{"qid": "q2", "docno": "é", "score": "1"}\n',
    "pyterrier.csv": 'qid,docid,docno,rank,score,query\nq1,77,a,1,2.5,"x, y"\nq1,78,b,0,3,x\nq2,9,é,0,1,x\n',
    "trec.txt": "q1 Q0 a 1 2.5 t\nq1 Q0 b 2 3 t\nq2 Q0 é 1 1e0 t\n",
    "tabs.run": "q1\tQ0\ta\t1\t2.5\ta tag\nq1\tQ0\tb\t2\t3\ta tag\nq2\tQ0\té\t1\t1\ta tag\n",
    "three.tsv": "q1\ta\t2.5\nq1\tb\t3\nq2\té\t1\n",
    "three.csv": "q1,a,2.5\nq1,b,3\nq2,é,1\n",
    "named.tsv": "query-id\tcorpus-id\tscore\nq1\ta\t2.5\nq1\tb\t3\nq2\té\t1\n",
    "four.txt": "q1 b 1 3\nq1 a 2 2.5\nq2 é 1 1\n",
}


@pytest.mark.parametrize("name", MAKES)
def test_runs_of_many_makes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(MAKES[name], encoding="utf-8")
    run = read_run(tmp_path / name, QUERIES, CORPUS)
    assert [list(zip(CORPUS.ids(run.of(at)[0]), run.of(at)[1].tolist(), strict=True)) for at in range(3)] == [
        [("b", 3.0), ("a", 2.5)],
        [("é", 1.0)],
        [],
    ]


def test_runs_of_ms_marco_have_ranks_for_scores(tmp_path: Path) -> None:
    path = tmp_path / "run.tsv"
    path.write_text("q1\ta\t1\nq1\tb\t2\nq2\tb\t1\nq2\té\t2\nq1\té\t3\n")
    run = read_run(path, QUERIES, CORPUS)
    assert [CORPUS.ids(run.of(at)[0]) for at in range(2)] == [["a", "b", "é"], ["b", "é"]]
    # What is called a score is one.
    path.write_text("qid\tdocno\tscore\nq1\ta\t1\nq1\tb\t2\n")
    assert CORPUS.ids(read_run(path, QUERIES, CORPUS).of(0)[0]) == ["b", "a"]
    path.write_text("q1\ta\n")
    with pytest.raises(UsageError, match=r"run\.tsv:1: expected the six columns of a TREC run, not 2"):
        read_run(path, QUERIES, CORPUS)
    path.write_text("q1\ta\t1\nq1\tb\n")
    with pytest.raises(UsageError, match=r"run\.tsv:2: expected query, document and score .or rank and score., not 2"):
        read_run(path, QUERIES, CORPUS)


def test_a_parquet_run_has_the_columns_of_ranx(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = Run.from_lists([[(0, 2.0), (1, 2.0)], [], [(2, 1.0)]])
    write_run(tmp_path / "run.parquet", run, QUERIES, CORPUS)
    columns = parquet.read_table(tmp_path / "run.parquet").to_pydict()
    assert columns["q_id"] == ["q1", "q1", "q3"]
    assert columns["doc_id"] == CORPUS.ids([0, 1, 2])
    assert columns["score"] == [2.0, float(np.nextafter(np.float32(2), np.float32(0))), 1.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.parquet"]
    parquet.write_table(parquet.read_table(tmp_path / "run.parquet").drop_columns("score"), tmp_path / "run.parquet")
    with pytest.raises(UsageError, match=r"run\.parquet:1: expected columns named"):
        read_run(tmp_path / "run.parquet", QUERIES, CORPUS)


def test_documents_that_the_collection_lacks_keep_their_places(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    lines = ["q1 Q0 gone1 1 3 t", "q1 Q0 gone2 2 2 t", "q1 Q0 a 3 1 t", "q1 Q0 zgone 4 1 t", "q9 Q0 a 1 1 t", "broken"]
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"run\.trec:6: expected the six columns"):
        read_run_file(path, QUERIES, CORPUS)
    faults = Faults("skip")
    found = read_run_file(path, QUERIES, CORPUS, faults)
    # Ties go by id, those of unknown documents, too.
    assert found.documents.ids(found.run.rows) == ["gone1", "gone2", "zgone", "a"]
    assert (found.lists, found.others, found.left, found.unknown, faults.count) == (1, ("q9",), 1, 3, 1)
    assert found.first_unknown == f"{path}:1: the collection has no document 'gone1'"
    assert CORPUS.ids(read_run(path, QUERIES, CORPUS, "skip").rows) == ["a"]
    path.write_text(lines[0])
    with pytest.raises(UsageError, match=r"run\.trec:1: the collection has no document 'gone1' .--on-error skip"):
        read_run_file(path, QUERIES, CORPUS)

"""Run files against judgments, as people have both: what is left out is said, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spaniel.data import Document, Qrels, Queries, write_folder
from spaniel.testing import Cli

RUNS = {
    "good.trec": "q1 Q0 d1 1 3 t\nq1 Q0 d2 2 2 t\nq2 Q0 d2 1 1 t\n",
    "other.json": '{"q1": {"d2": 3, "d1": 2}, "q2": {"d1": 1}}',
    "gone.trec": "q1 Q0 gone1 1 3 t\nq1 Q0 gone2 2 2 t\nq1 Q0 d1 3 1 t\n",
    "broken.trec": "q1 Q0 d1 1 3 t\nq1 Q0 d1 2 2 t\nq1 d2\nq9 Q0 d1 1 1 t\n",
    "queries.trec": "7 Q0 d1 1 3 t\n",
    "documents.trec": "q1 Q0 x1 1 3 t\nq2 Q0 x2 1 3 t\n",
    "unjudged.trec": "q1 Q0 d3 1 3 t\nq2 Q0 d3 1 3 t\n",
    "empty.trec": "",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, text in RUNS.items():
        (tmp_path / name).write_text(text)
    folder = tmp_path / "data"
    documents = [Document(name, "", f"text of {name}") for name in ("d1", "d2", "d3", "q1", "q2")]
    queries = Queries.from_lists(["q1", "q2"], ["text of q1 d1", "text of q2 d2"])
    write_folder(folder, documents, queries, {"test": Qrels({"q1": {"d1": 1}, "q2": {"d2": 2, "d1": 1}})})
    return folder


def evaluate(run_cli: Cli, data: Path, *arguments: str) -> Any:
    files = [str(data.parent / one) if one in RUNS else one for one in arguments]
    runs, rest = [one for one in files if "/" in one], [one for one in files if "/" not in one]
    return run_cli("evaluate", *runs, str(data), *rest)


def test_unknown_documents_keep_their_places(run_cli: Cli, data: Path) -> None:
    ran = evaluate(run_cli, data, "gone.trec", "-m", "RR")
    assert ran.exit_code == 2
    assert "gone.trec:1: the collection has no document 'gone1' (--on-error skip" in ran.stderr
    ran = evaluate(run_cli, data, "gone.trec", "-m", "RR", "--per-query", "--on-error", "skip", "--json")
    assert ran.exit_code == 0
    assert ran.json["per_query"]["q1"]["RR"] == pytest.approx(1 / 3)
    assert "note: 2 lines of" in ran.stderr
    assert "they keep their places, first: " in ran.stderr
    assert "has no list for 1 of 2 judged queries; they count 0" in ran.stderr


def test_what_is_left_out_is_said(run_cli: Cli, data: Path) -> None:
    ran = evaluate(run_cli, data, "broken.trec", "--on-error", "skip")
    assert ran.exit_code == 0
    assert "note: 1 malformed and 1 repeated lines were left out of" in ran.stderr
    assert "broken.trec:3: expected the six columns" in ran.stderr
    assert "1 queries of " in ran.stderr
    assert "are not judged, and not measured: q9" in ran.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "queries.trec",
            "shares no query with the judgments of data test: its queries are like '7', theirs like 'q1', 'q2'",
        ),
        ("documents.trec", "shares no document with data; first: "),
        ("empty.trec", "shares no query with the judgments of data test: it holds no results"),
    ],
)
def test_what_shares_nothing_is_refused(run_cli: Cli, data: Path, name: str, said: str) -> None:
    ran = evaluate(run_cli, data, name, "--on-error", "skip")
    assert ran.exit_code == 1
    assert f"{name}: {said}" in ran.stderr


def test_a_run_without_a_judged_document_is_measured_with_a_warning(run_cli: Cli, data: Path) -> None:
    ran = evaluate(run_cli, data, "unjudged.trec", "--json")
    assert ran.json["measures"]["AP"] == 0
    assert "shares no document with the judgments of data test" in ran.stderr


def test_several_runs_are_compared(run_cli: Cli, data: Path) -> None:
    told = evaluate(run_cli, data, "good.trec", "other.json", "-m", "AP", "-m", "NumRet", "--json").json
    good, other = (str(data.parent / name) for name in ("good.trec", "other.json"))
    assert [(s["name"], s["measures"]["NumRet"], s["cost"]) for s in told["systems"]] == [(good, 3, {}), (other, 3, {})]
    assert [(c["system"], c["baseline"], c["measure"]) for c in told["comparisons"]] == [(other, good, "AP")]
    assert told["data"]["rel"] is None
    table = evaluate(run_cli, data, "good.trec", "other.json", "--report", f"{data.parent / 'r.html'}")
    # The report's path holds a slash, too, and is no run.
    assert table.exit_code == 2
    table = run_cli("evaluate", good, other, str(data), "--report", str(data.parent / "r.html"), "--per-query")
    assert "Δ nDCG@10" in table.stdout
    assert "q2  nDCG@10" in table.stdout
    assert "95 %" in (data.parent / "r.html").read_text()
    for arguments, said in [
        ((good, good), "given twice"),
        ((), "at least one run file"),
        ((good + "x",), "no run file"),
    ]:
        assert said in run_cli("evaluate", *arguments, str(data)).stderr
    assert "--baseline 3" in run_cli("evaluate", good, other, str(data), "--baseline", "3").stderr
    ran = run_cli("evaluate", good, other, str(data), "--all-pairs", "--baseline", "2")
    assert (ran.exit_code, "no meaning" in ran.stderr) == (2, True)


def test_a_level_and_own_documents(run_cli: Cli, data: Path) -> None:
    kept = run_cli("run", "bm25", str(data), "-m", "nDCG@10", "-m", "RR", "--json")
    assert kept.json["data"]["own_documents"] == "kept"
    ran = run_cli("run", "bm25", str(data), "-m", "nDCG@10", "-m", "RR", "--json", "--leave-out-own")
    assert ran.json["data"]["own_documents"] == "left out"
    assert "the document that has a query's id is left out of its list (2 of 2 queries have one)" in ran.stderr
    assert kept.json["measures"]["RR"] < ran.json["measures"]["RR"] == 1
    told = evaluate(run_cli, data, "good.trec", "-m", "AP", "-m", "AP(rel=1)", "--rel", "2", "--json")
    assert told.json["measures"] == {"AP": 0.5, "AP(rel=1)": pytest.approx((1 + 0.5) / 2)}
    assert "counts as relevant from grade 2 on" in told.stderr
    (data / "spaniel.json").write_text('{"rel": 2, "leave_out_own": true}')
    for command in (["run", "bm25"], ["compare", "bm25"], ["evaluate", str(data.parent / "good.trec")]):
        ran = run_cli(*command, str(data), "--json")
        assert (ran.json["data"]["rel"], ran.json["data"]["own_documents"]) == (2, "left out")
        assert "from grade 2 on" in ran.stderr
        assert "--keep-own keeps it" in ran.stderr
    assert run_cli("run", "bm25", str(data), "--keep-own", "--json").json["data"]["own_documents"] == "kept"
    for text in ('{"rel": 0}', '{"rel": true}', '{"own": 1}', "[]", "{", '{"leave_out_own": 1}'):
        (data / "spaniel.json").write_text(text)
        ran = run_cli("run", "bm25", str(data))
        assert ran.exit_code == 2
        assert "spaniel.json" in ran.stderr


def test_what_the_field_leaves_out(run_cli: Cli, tmp_path: Path) -> None:
    documents = [
        Document(name, "", text) for name, text in [("q1", "a b c"), ("q2", "d e f"), ("r1", "a b"), ("r2", "d e")]
    ]
    queries = Queries.from_lists(["q1", "q2"], ["a b c", "d e f"])
    write_folder(tmp_path / "own", documents, queries, {"test": Qrels({"q1": {"r1": 1}, "q2": {"r2": 1}})})
    (tmp_path / "run").write_text("".join(f"q{n} Q0 q{n} 1 2 t\nq{n} Q0 r{n} 2 1 t\n" for n in (1, 2)))
    for flag, value in (("--keep-own", 0.6309), ("--leave-out-own", 1.0)):
        ran = run_cli("evaluate", str(tmp_path / "run"), str(tmp_path / "own"), "-m", "nDCG@10", "--json", flag)
        assert round(ran.json["measures"]["nDCG@10"], 4) == value


def test_rerun_takes_what_its_message_advises(run_cli: Cli, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "bm25.parquet"
    assert run_cli("run", "bm25", str(data), "-o", str(out), "--leave-out-own", "--rel", "2").exit_code == 0
    assert run_cli("rerun", str(out), "--json").json["same"]
    assert run_cli("evaluate", str(out), str(data)).exit_code == 0
    corpus = data / "corpus.jsonl"
    kept = [line for line in corpus.read_text().splitlines() if json.loads(line)["_id"] != "d3"]
    corpus.write_text("\n".join([*kept, "broken"]) + "\n")
    ran = run_cli("rerun", str(out))
    assert ran.exit_code == 2
    assert "--on-error skip" in ran.stderr
    ran = run_cli("rerun", str(out), "--on-error", "skip", "--json")
    assert ran.exit_code == 1
    assert ran.json["queries"] == ["q1", "q2"]
    assert "1 malformed and 0 duplicate records were left out of the documents" in ran.stderr


def test_a_judged_query_that_was_left_out_is_none_that_found_nothing(run_cli: Cli, data: Path) -> None:
    judgments = data / "qrels" / "test.tsv"
    judgments.write_text(judgments.read_text() + "q3\td1\t1\n")
    assert evaluate(run_cli, data, "good.trec").exit_code == 2
    ran = evaluate(run_cli, data, "good.trec", "-m", "RR", "-m", "NumQ", "--on-error", "skip", "--json")
    assert ran.json["measures"] == {"RR": 1.0, "NumQ": 2.0}
    assert "judges the query 'q3', which queries.jsonl does not have" in ran.stderr
    assert "judged queries; they count 0" not in ran.stderr


@pytest.mark.parametrize("command", [["evaluate", "good.trec"], ["compare", "bm25"]])
def test_judgments_that_are_not_read_are_named_where_there_are_none(
    run_cli: Cli, data: Path, command: list[str]
) -> None:
    (data / "qrels" / "test.tsv").rename(data / "judgments.txt")
    ran = run_cli(command[0], str(data.parent / command[1]) if "." in command[1] else command[1], str(data))
    assert ran.exit_code == 2
    assert "note: judgments.txt is not read: it looks like judgments" in ran.stderr


def test_judgments_alone_measure_runs(run_cli: Cli, data: Path) -> None:
    judgments = data.parent / "qrels.txt"
    judgments.write_text("q1 0 d1 1\nq1 0 gone1 1\nq2 0 d%202 2\n")
    (data.parent / "ranks.tsv").write_text("q1\tx 1\t1\nq1\td1\t2\nq2\td%202\t1\n")
    (data.parent / "scores.run").write_text("q1 Q0 d1 1 2 t\nq1 Q0 x 2 1 t\nq2 Q0 d%202 1 1 t\n")
    runs = [str(data.parent / name) for name in ("ranks.tsv", "scores.run")]
    ran = run_cli("evaluate", *runs, str(judgments), "-m", "RR", "-m", "R@5", "--json")
    assert [system["measures"] for system in ran.json["systems"]] == [
        {"RR": 0.75, "R@5": 0.75},
        {"RR": 1.0, "R@5": 0.75},
    ]
    ran = run_cli("evaluate", runs[1], str(judgments), "--rel", "2", "-m", "RR", "--json")
    assert ran.json["measures"] == {"RR": 0.5}
    assert "note: a document counts as relevant from grade 2 on" in ran.stderr
    assert run_cli("evaluate", runs[1], str(judgments), "--split", "dev").exit_code == 2
    judgments.write_text("q1 0 other 1\n")
    ran = run_cli("evaluate", runs[1], str(judgments))
    assert ran.exit_code == 1
    assert "shares no document with the judgments of qrels.txt" in ran.stderr
    judgments.write_text("a note\n")
    assert "qrels.txt:1: expected query, document and grade" in run_cli("evaluate", runs[1], str(judgments)).stderr

"""Readers: every format, every packing, every fault with its place."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spaniel.data import (
    Corpus,
    Document,
    Faults,
    Qrels,
    Queries,
    files,
    read_documents,
    read_qrels,
    read_queries,
    read_records,
    read_run,
)
from spaniel.data.readers import FORMATS, format_of
from spaniel.errors import SpanielError, UsageError

CORPUS = Corpus.from_documents([Document("d1"), Document("d2")])
QUERIES = Queries.from_lists(["q1"], ["x"])


def put(folder: Path, name: str, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    if name.endswith(".gz"):
        data = gzip.compress(data)
    elif name.endswith((".zst", ".zstd")):
        data = pytest.importorskip("zstandard").compress(data)
    path.write_bytes(data)
    return path


def read(path: Path, on_error: str | Faults = "fail", format: str | None = None) -> list[Document]:
    return [document for _, document in read_documents(path, on_error, format)]


# Formats

JSONL = (
    '{"_id": "d1", "title": "t", "text": "a", "metadata": {"url": "u"}, "year": 1999}\n'
    '\n{"docno": 7, "contents": "b"}\r\n{"id": "d3", "body": null, "title": null}'
)
EXPECTED = [Document("d1", "t", "a", {"url": "u", "year": 1999}), Document("7", "", "b"), Document("d3")]


@pytest.mark.parametrize("name", ["c.jsonl", "c.json", "c.ndjson", "c.jsonl.gz", "c.jsonl.zst", "c.jsonl.zstd"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_jsonl(name: str, mark: str, tmp_path: Path) -> None:
    path = put(tmp_path, name, mark + JSONL)
    assert read(path) == EXPECTED
    assert [place for place, _ in read_documents(path)] == [f"{path}:{line}" for line in (1, 3, 4)]


def test_csv_and_tsv(tmp_path: Path) -> None:
    table = 'id,title,text,year\nd1,t,"a, ""b""\nand c",1999\n\nd2,,,\n'
    expected = [Document("d1", "t", 'a, "b"\nand c', {"year": "1999"}), Document("d2", "", "", {"year": ""})]
    path = put(tmp_path, "c.csv", table)
    assert read(path) == expected
    assert [place for place, _ in read_documents(path)] == [f"{path}:2", f"{path}:5"]
    path = put(tmp_path, "c.tsv", 'id\ttitle\ttext\nd1\t"t\t5" pipe\nd2\tx\t"\n')
    assert read(path) == [Document("d1", '"t', '5" pipe'), Document("d2", "x", '"')]
    long = "x" * 300_000
    assert read(put(tmp_path, "long.csv", f"id,text\nd1,{long}\n")) == [Document("d1", "", long)]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "_id": ["d1", "d2"],
        "text": ["a", None],
        "tags": [["x", "y"], None],
        "day": [datetime.date(1999, 12, 31), None],
        "price": [decimal.Decimal("1.50"), None],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet") == [
        Document("d1", "", "a", {"tags": ["x", "y"], "day": "1999-12-31", "price": "1.50"}),
        Document("d2", "", "", {"tags": None, "day": None, "price": None}),
    ]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(UsageError, match=r"bad\.parquet:1: no Parquet file"):
        read(tmp_path / "bad.parquet")
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / "none.parquet")


def test_msmarco(tmp_path: Path) -> None:
    path = put(tmp_path, "collection.tsv", "0\tfirst passage\n1\t\n")
    assert read(path, format="msmarco") == [Document("0", "", "first passage"), Document("1")]
    path = put(tmp_path, "docs.tsv.gz", "D1\thttp://x\tt\tbody\n")
    assert read(path, format="msmarco") == [Document("D1", "t", "body", {"url": "http://x"})]
    queries = read_queries(put(tmp_path, "queries.dev.tsv", "5\twho\n6\twhat\n"), format="msmarco")
    assert (queries.ids, queries.texts) == (("5", "6"), ("who", "what"))
    path = put(tmp_path, "qrels.dev.tsv", "5\t0\t0\t1\n6\t0\t1\t0\n")
    assert dict(read_qrels(path)) == {"5": {"0": 1}, "6": {"1": 0}}


TOPICS = """
<top>
<num> Number: 301
<title> International Organized
Crime

<desc> Description:
Identify organizations.

<narr> Narrative:
A relevant document: must name x < y.
</top>

<top><num>302</num><title> Topic: Polio </title></top>
MB1\ttweets with\ttabs
"""


def test_topics(tmp_path: Path) -> None:
    queries = read_queries(put(tmp_path, "topics.trec", TOPICS))
    assert queries.ids == ("301", "302", "MB1")
    assert queries.texts == ("International Organized Crime", "Polio", "tweets with\ttabs")
    assert queries.metadata == (
        {"description": "Identify organizations.", "narrative": "A relevant document: must name x < y."},
        {},
        {},
    )


def test_queries(tmp_path: Path) -> None:
    path = put(
        tmp_path, "queries.jsonl", '{"_id": "q1", "text": ""}\n{"qid": 2, "query": "b"}\n{"id": "3", "title": "c"}\n'
    )
    queries = read_queries(path)
    assert (queries.ids, queries.texts, queries.metadata) == (("q1", "2", "3"), ("", "b", "c"), None)
    assert len(read_queries(put(tmp_path, "none.jsonl", ""))) == 0
    path = put(tmp_path, "twice.jsonl", '{"_id": "q1", "text": "a"}\n{"_id": "q1", "text": "b"}\n')
    with pytest.raises(UsageError, match=r"twice\.jsonl:2: the query id 'q1' comes twice"):
        read_queries(path)
    faults = Faults("skip")
    assert read_queries(path, faults).texts == ("a",)
    assert (faults.count, faults.duplicates) == (0, 1)


def test_queries_in_python() -> None:
    for ids, texts, metadata, message in [
        (["a", "a"], ["x", "y"], None, "'a' comes 2 times"),
        (["a"], [], None, "one text"),
        (["a"], ["x"], [], "one text"),
        (["a\tb"], ["x"], None, "white space"),
        (["a"], ["\ud800"], None, "surrogate"),
        (["a"], ["x"], [{"n": float("nan")}], "no JSON form"),
    ]:
        with pytest.raises(UsageError, match=message):
            Queries.from_lists(ids, texts, metadata)
    queries = Queries.from_lists(["a", "b"], ["x", "y"], [{}, {"domain": "z"}])
    assert queries.select([1]) == Queries(("b",), ("y",), ({"domain": "z"},))
    assert queries.digest != queries.select([1, 0]).digest
    assert len(Queries.from_lists([], [])) == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"_id": "d", "text": None, "contents": "alpha beta"}, Document("d", "", "alpha beta")),
        ({"_id": "d", "contents": "alpha", "text": None, "body": None}, Document("d", "", "alpha")),
        ({"_id": None, "id": None, "docid": 7, "text": "x"}, Document("7", "", "x")),
        ({"_id": "d", "title": None, "text": "x", "metadata": None}, Document("d", "", "x")),
        ({"_id": "d", "title": "t", "text": None}, Document("d", "t", "")),
        ({"_id": "d", "text": None, "query": None}, Document("d")),
        ({"_id": "d", "text": "", "contents": "kept beside"}, Document("d", "", "", {"contents": "kept beside"})),
    ],
)
def test_a_null_field_is_an_absent_one(fields: dict, expected: Document, tmp_path: Path) -> None:
    path = put(tmp_path, "c.jsonl", json.dumps(fields) + "\n")
    assert read(path) == [expected]
    assert read_queries(path).texts == (expected.text or expected.title,)


# Faults

BAD = {
    "c.jsonl": [
        (b"no JSON", "no JSON"),
        (b"[1]", "expected a JSON object, not list"),
        (b'{"text": "x"}', "it has no id; one of the fields _id, id"),
        (b'{"_id": "a", "abstract": "x"}', "it has no text; one of the fields text"),
        (b'{"_id": "", "text": "x"}', "the id is ''"),
        (b'{"_id": null, "text": "x"}', "the id is None"),
        (b'{"_id": true, "text": "x"}', "the id is True"),
        (b'{"_id": 1.5, "text": "x"}', "the id is 1.5"),
        (b'{"_id": " a", "text": "x"}', "white space"),
        (b'{"_id": "a", "text": ["x"]}', "expected text, not list"),
        (b'{"_id": "a", "text": "x", "title": 3}', "expected text, not int"),
        (b'{"_id": "a", "text": "\xff"}', "no UTF-8"),
        (rb'{"_id": "a", "text": "x\ud800"}', "lone surrogate at character 1"),
        (rb'{"_id": "a", "text": "x", "k\udc00": 1}', "lone surrogate"),
        (b'{"_id": "a", "text": "x", "n": NaN}', "no JSON form"),
        (b'{"_id": "a", "text": "x", "n": 1e999}', "no JSON form"),
        (b'{"_id": "a", "text": "x", "n": ' + b"[" * 200 + b"]" * 200 + b"}", "100 deep"),
        (b"[" * 100_000, "no JSON"),
        (b'{"_id": ' + b"9" * 5000 + b', "text": "x"}', "no JSON"),
    ],
    "c.csv": [
        (b"a", "it has 1 columns, the header 2"),
        (b"a,b,c", "it has 3 columns, the header 2"),
        (b",x", "the id is ''"),
        (b"a,\xff", "no UTF-8"),
        (b'a,"x"y', "no CSV"),
        (b"a,x\ry", "no CSV"),
    ],
    "c.tsv": [(b"a", "it has 1 columns"), (b"a\t\xff", "no UTF-8")],
    "c.trec": [
        (b"alone", "expected id, tab and text"),
        (b"<top><num>1</num></top>", "in <title>, <query> or the like"),
        (b"<top><title>x</title></top>", "no <num>"),
        (b"\xff", "no UTF-8"),
    ],
}
FIRST = {"c.jsonl": '{"_id": "ok", "text": "x"}', "c.csv": "id,text", "c.tsv": "id\ttext", "c.trec": "ok\tx"}
GOOD = {"c.jsonl": '{"_id": "end", "text": "x"}', "c.csv": "end,x", "c.tsv": "end\tx", "c.trec": "end\tx"}


@pytest.mark.parametrize(("name", "line", "message"), [(name, *case) for name, cases in BAD.items() for case in cases])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_malformed_records(name: str, line: bytes, message: str, packing: str, tmp_path: Path) -> None:
    path = put(tmp_path, name + packing, FIRST[name].encode() + b"\n" + line + b"\n" + GOOD[name].encode() + b"\n")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)
    faults = Faults("skip")
    assert [document.id for document in read(path, faults)][-1] == "end"
    assert faults.count == len(faults.first) == 1


def test_topics_that_are_broken(tmp_path: Path) -> None:
    path = put(
        tmp_path, "t.trec", b"<top>\n<num>1\n<title>a\xff\n</top>\n<top>\n<num>2\n<title>b\n</top>\n<top>\n<num>3"
    )
    faults = Faults("skip")
    assert read_queries(path, faults).ids == ("2",)
    assert [message.partition(": ")[0] for message in faults.first] == [f"{path}:1", f"{path}:9"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", FIRST)
def test_empty_files(content: bytes, name: str, tmp_path: Path) -> None:
    if name in ("c.csv", "c.tsv") and content != b"":
        with pytest.raises(UsageError, match=f"{name}:1: expected a header"):
            read(put(tmp_path, name, content))
    else:
        assert read(put(tmp_path, name, content)) == []


def test_headers(tmp_path: Path) -> None:
    for content, message in [(b"id,id\n", "different names"), (b"i\xff,text\n", "no UTF-8")]:
        with pytest.raises(UsageError, match=rf"c\.csv:1: .*{message}"):
            read(put(tmp_path, "c.csv", content), "skip")


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path, format="jsonl")
    with pytest.raises(UsageError, match="say which format: jsonl, csv"):
        read(put(tmp_path, "corpus", ""))
    with pytest.raises(UsageError, match="'xml' is no format"):
        read(put(tmp_path, "c.jsonl", ""), format="xml")
    with pytest.raises(UsageError, match="fail or skip"):
        read(put(tmp_path, "c.jsonl", ""), "ignore")
    monkeypatch.setattr(files, "LONGEST", 100)
    path = put(tmp_path, "long.jsonl", '{"_id": "a", "text": "x"}\n' + "x" * 101 + "\n")
    with pytest.raises(UsageError, match=r"long\.jsonl:2: the line is longer than 100 bytes"):
        read(path, "skip")


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_damaged_compression(packing: str, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"_id": f"d{number}", "text": "x" * (number % 97)}) + "\n" for number in range(5000))
    path = put(tmp_path, f"c.jsonl.{packing}", lines)
    whole = path.read_bytes()
    assert len(read(path)) == 5000
    path.write_bytes(whole * 2)  # several members or frames
    assert len(read(path)) == 10_000
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:5], b"no " + whole, whole + b"no"):
        path.write_bytes(damaged)
        for on_error in ("fail", "skip"):
            with pytest.raises(UsageError, match=rf"c\.jsonl\.{packing}:\d+: the compressed file is damaged"):
                read(path, on_error)


def test_an_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.jsonl.zst").write_bytes(b"x")
    (tmp_path / "c.parquet").write_bytes(b"x")
    for module, name, extra in [("zstandard", "c.jsonl.zst", "zstd"), ("pyarrow", "c.parquet", "parquet")]:
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(UsageError, match=rf'pip install "spaniel\[{extra}\]"'):
            read(tmp_path / name)


def test_format_of() -> None:
    assert {
        name: format_of(Path(name)) for name in ("a.jsonl.gz", "a.b.csv", "a.tsv.zst", "a.parquet", "a.topics")
    } == {
        "a.jsonl.gz": "jsonl",
        "a.b.csv": "csv",
        "a.tsv.zst": "tsv",
        "a.parquet": "parquet",
        "a.topics": "trec",
    }


# Judgments


def test_qrels_policy(tmp_path: Path) -> None:
    path = put(
        tmp_path, "q.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t-1\nq1\td2\t0\nq1\td3\t+2\nq2\td1\t0\nq1\td1\t-1\n"
    )
    qrels = read_qrels(path)
    assert {query: dict(judged) for query, judged in qrels.items()} == {
        "q1": {"d1": -1, "d2": 0, "d3": 2},
        "q2": {"d1": 0},
    }
    assert qrels.gains("q1") == {"d1": 0, "d2": 0, "d3": 2}
    assert qrels.gains("q2") == {"d1": 0}
    assert (len(qrels), "d9" in qrels["q1"]) == (2, False)


def test_a_negative_grade_moves_no_measure(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    run = {"q": {"bad": 3.0, "good": 2.0, "worse": 1.0}}

    def ndcg(text: str) -> float:
        gains = read_qrels(put(tmp_path, "q.txt", text)).gains("q")
        return pytrec_eval.RelevanceEvaluator({"q": gains}, {"ndcg_cut_10"}).evaluate(run)["q"]["ndcg_cut_10"]

    assert ndcg("q 0 bad -1\nq 0 good 1\n") == ndcg("q 0 bad 0\nq 0 good 1\n") == ndcg("q 0 good 1\n")
    assert ndcg("q 0 bad -1\nq 0 good 1\n") < ndcg("q 0 bad 1\nq 0 good 1\n")


@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\n"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"q1\td1", "not 2 columns"),
        (b"q1 0 d1 1 x", "not 5 columns"),
        (b"q1\td1\t", "the grade '' is no number"),
        (b"q1\td1\tnan", "'nan' is no number"),
        (b"q1\td1\tinf", "'inf' is no number"),
        (b"q1\td1\t1_0", "'1_0' is no number"),
        (b"q1\td1\thigh", "'high' is no number"),
        ("q1\td1\t١".encode(), "is no number"),
        (b"q1\td1\t99999999999", "is no number"),
        (b"q1\td\xff\t1", "no UTF-8"),
        (b"q1\td\x00\t1", "NUL"),
        (b"ok\td\t2", "'d' has the grades 1 and 2 for query 'ok'"),
    ],
)
def test_malformed_judgments(header: str, line: bytes, message: str, tmp_path: Path) -> None:
    path = put(tmp_path, "q.tsv", header.encode() + b"ok\td\t1\n" + line + b"\n")
    with pytest.raises(UsageError) as caught:
        read_qrels(path)
    assert str(caught.value).startswith(f"{path}:{3 if header else 2}: ")
    assert message in str(caught.value)
    faults = Faults("skip")
    assert dict(read_qrels(path, faults)) == {"ok": {"d": 1}}
    assert faults.count == 1


FRACTIONS = {"q1": {"d1": 1, "d2": 0.5}, "q2": {"d1": -1}}
JUDGED = {
    "three.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1.0\nq1\td2\t0.5\nq2\td1\t-1\n",
    "trec.qrels": "q1 0 d1 1\nq1 0 d2 .5\nq2 0 d1 -1.0\n",
    "header.csv": "query-id,corpus-id,score\nq1,d1,1\nq1,d2,5e-1\nq2,d1,-1\n",
    "names.csv": '\ufeffrelevance,docno,qid,note\n1.0,d1,q1,"a, b"\n0.5,d2,q1,\n-1,d1,q2,\n',
    "bare.csv": "q1,d1,1\nq1,d2,0.50\nq2,d1,-1\n",
    "lines.jsonl": '{"query-id": "q1", "corpus-id": "d1", "score": 1.0}\n{"qid": "q1", "docid": "d2", "rel": 0.5}\n'
    '{"q_id": "q2", "doc_id": "d1", "score": -1}\n',
    "ranx.json": '{"q1": {"d1": 1, "d2": 0.5},\n "q2": {"d1": -1}}',
    "list.json": '[{"qid": "q1", "docno": "d1", "label": 1}, {"qid": "q1", "docno": "d2", "label": 0.5},'
    '{"qid": "q2", "docno": "d1", "label": -1}]',
}


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_judgments_of_many_makes(name: str, packing: str, tmp_path: Path) -> None:
    qrels = read_qrels(put(tmp_path, name + packing, JUDGED[name]))
    assert {query: dict(judged) for query, judged in qrels.items()} == FRACTIONS
    assert [type(grade) for grade in qrels["q1"].values()] == [int, float]


def test_judgments_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"q_id": ["q1", "q1", "q2"], "doc_id": ["d1", "d2", "d1"], "score": [1.0, 0.5, -1.0]}
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), tmp_path / "q.parquet")
    assert read_qrels(tmp_path / "q.parquet") == FRACTIONS
    parquet.write_table(pyarrow.table({"a": ["x"]}), tmp_path / "bad.parquet")
    with pytest.raises(
        UsageError, match=r"bad\.parquet:1: expected columns named query_id, doc_id and score .*, not a"
    ):
        read_qrels(tmp_path / "bad.parquet")


def test_judgments_by_subtopic(tmp_path: Path) -> None:
    lines = ["q1 1 d1 1", "q1 2 d1 0", "q1 2 d2 2", "q1 2 d2 2", "q2 1 d1 -2"]
    qrels = read_qrels(put(tmp_path, "q.qrels", "\n".join(lines)))
    assert qrels == {"q1": {"d1": 1, "d2": 2}, "q2": {"d1": -2}}
    assert qrels.subtopics == {"q1": {"1": {"d1": 1}, "2": {"d1": 0, "d2": 2}}, "q2": {"1": {"d1": -2}}}
    assert qrels.select(["q2"]).subtopics == {"q2": {"1": {"d1": -2}}}
    with pytest.raises(UsageError, match=r"q\.qrels:2: 'd1' has the grades 1 and 0 for query 'q1'"):
        read_qrels(put(tmp_path, "q.qrels", "q1 1 d1 1\nq1 1 d1 0\nq1 2 d1 0\n"))
    # One value in the second column is TREC's "iteration", whatever it is.
    assert not read_qrels(put(tmp_path, "q.qrels", "q1 Q0 d1 1\nq2 0 d1 1\n")).subtopics


def test_a_level_says_what_is_relevant() -> None:
    qrels = Qrels({"q1": {"d1": 1, "d2": 2, "d3": 0.5, "d4": -1}, "d9": {"d9": 1, "d1": 2}})
    assert qrels.relevant("q1") == ["d1", "d2", "d3"]
    assert qrels.with_level(2).relevant("q1") == ["d2"]
    assert qrels.with_level(0.75).select(["q1"]).relevant("q1") == ["d1", "d2"]
    assert qrels.relevant("nobody") == []
    assert qrels.without_own() == {**qrels, "d9": {"d1": 2}}
    assert len({qrels.digest, qrels.with_level(2).digest, qrels.without_own().digest}) == 3
    for level in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="from a grade above 0"):
            qrels.with_level(level)
    with pytest.raises(UsageError, match="finite"):
        Qrels({"q": {"d": float("nan")}})


def test_a_query_that_is_called_like_a_header(tmp_path: Path) -> None:
    assert dict(read_qrels(put(tmp_path, "q.tsv", "query\td\t1\n"))) == {"query": {"d": 1}}
    assert len(read_qrels(put(tmp_path, "q.tsv", ""))) == 0


# Whatever the bytes are

TOKENS = [
    *'\n\r\t,"{}[]: \0\ufeff\u2028',
    *(
        "_id",
        "id",
        "text",
        '"_id"',
        '"text"',
        '"d1"',
        "d1",
        "q1",
        "Q0",
        "1",
        "-1",
        "nan",
        "NaN",
        "1e999",
        "\\ud800",
        "PAR1",
    ),
    *("<top>", "</top>", "<num>", "<title>", '{"_id": "d1", "text": "x"}\n', "q1 Q0 d1 1 0.5 t\n", "q1\td1\t1\n"),
]
FRAGMENTS = st.sampled_from([*(token.encode() for token in TOKENS), b"\xff"])
BYTES = st.one_of(st.binary(max_size=60), st.lists(FRAGMENTS, max_size=25).map(b"".join))
PACKINGS = st.sampled_from(["", ".gz", ".zst", ".gz!", ".zst!"])


@settings(deadline=None, max_examples=400)
@given(
    content=BYTES, format=st.sampled_from(sorted(FORMATS)), packing=PACKINGS, on_error=st.sampled_from(["fail", "skip"])
)
@example(content=b'{"_id": "d1", "text": "x"}\n', format="jsonl", packing="", on_error="fail")
def test_only_stated_errors_come_out(
    content: bytes, format: str, packing: str, on_error: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    if packing.endswith("!"):  # the bytes are the compressed file
        path = folder / f"x{packing[:-1]}"
        path.write_bytes(content)
    else:
        path = put(folder, f"x{packing}", content)

    def records() -> None:
        for record in read_records(path, on_error, format):
            document = Document(record.id, record.title, record.text, record.metadata)
            assert Corpus.from_documents([document]).documents([0]) == [document]

    def outcome(work: Callable[[], object]) -> Exception | None:
        try:
            work()
        except SpanielError as error:
            return error
        return None

    outcomes = [
        outcome(records),
        outcome(lambda: read_queries(path, on_error, format)),
        outcome(lambda: read_qrels(path, on_error)),
        outcome(lambda: read_run(path, QUERIES, CORPUS, on_error)),
    ]
    for error in filter(None, outcomes):
        assert isinstance(error, UsageError)
        assert str(path) in str(error)

"""Collections: python-docs, WordNet, ir_datasets, folders with a name; and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from spaniel import Context, UsageError
from spaniel.cli.main import main
from spaniel.collections import find_dataset
from spaniel.indexing import open_corpus
from spaniel.system import open_task
from spaniel_datasets.python_docs import reader
from spaniel_datasets.wordnet import read_synsets

KNOWN = [
    "itertools.groupby", "str.join", "subprocess.run", "topic:with", "os.path.join", "open", "pathlib.Path.glob",
    "collections.Counter", "asyncio.run", "argparse.ArgumentParser.add_argument", "io.StringIO", "hmac.compare_digest",
]  # fmt: skip


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return {document.id: document for document in reader.read_documents()}


def test_python_docs_holds_what_people_look_for(documents: dict[str, Any]) -> None:
    assert len(documents) > 5000
    assert [name for name in KNOWN if name not in documents] == []


def test_python_docs_are_read_the_same_everywhere(tmp_path: Path) -> None:
    script = Path(reader.__file__).with_name("walk.py")
    outputs = []
    for hash_seed, folder in (("1", tmp_path), ("2", Path.cwd())):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "HOME": str(folder), "LANG": "C"}
        arguments = [sys.executable, "-S", "-X", "utf8", "-W", "ignore", str(script)]
        outputs.append(subprocess.run(arguments, cwd=folder, env=env, capture_output=True, check=True).stdout)
    assert outputs[0] == outputs[1]


def test_python_docs_tell_nothing_of_this_machine(documents: dict[str, Any]) -> None:
    told = [
        d.id
        for d in documents.values()
        if str(Path.home()) + "/" in d.text or sys.prefix in d.text or " at 0x" in d.text
    ]
    assert told == []


def test_python_docs_questions_are_judged(context: Context, documents: dict[str, Any]) -> None:
    dataset = find_dataset(context, "python-docs")
    queries, qrels = dataset.queries("test"), dataset.qrels("test")
    assert len(queries) >= 150
    assert set(queries.ids) == set(qrels)
    assert {grade for grades in qrels.values() for grade in grades.values()} == {0, 1, 2, 3}
    assert [q for q in queries.ids if max(qrels[q].values()) < 2] == [], "every question has an answer"
    assert all(name in documents for grades in qrels.values() for name in grades)
    titles = {name.lower() for name in documents}
    assert sum(text.lower() in titles for text in queries.texts) <= 2, "questions are no names of documents"


def test_python_docs_judgments_hold_on_this_version(documents: dict[str, Any]) -> None:
    lines = Path(reader.__file__).with_name("qrels.tsv").read_text().splitlines()[1:]
    relevant = [line.split("\t")[1] for line in lines if int(line.split("\t")[2]) > 1]
    assert sum(name in documents for name in relevant) >= 0.9 * len(relevant)


DATA_NOUN = (
    "  1 licence line\n"
    '00001740 03 n 01 entity 0 000 | that which is perceived to exist; "it was full of rackets, balls and other objects"\n'
    "00001930 03 n 02 physical_entity 0 thing(p) 0 000 | an entity that has physical existence\n"
)


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    for name in ("data.verb", "data.adj", "data.adv"):
        (tmp_path / name).write_text("")
    (tmp_path / "data.noun").write_text(DATA_NOUN)
    return tmp_path


def test_wordnet_examples_are_to_find_their_gloss(context: Context, wordnet: Path) -> None:
    dataset = context.create("dataset", f'wordnet(path="{wordnet}")')
    corpus = open_corpus(context, dataset.documents())
    found = {d.id: d for d in corpus.documents(range(len(corpus)))}
    assert found["n00001740"].text == "that which is perceived to exist"
    assert found["n00001930"].title == "physical entity, thing"
    queries, qrels = dataset.queries("test"), dataset.qrels("test")
    assert queries.texts == ("it was full of rackets, balls and other objects",)
    assert qrels[queries.ids[0]] == {"n00001740": 1}


def test_a_damaged_wordnet_is_reported_with_its_line(wordnet: Path) -> None:
    (wordnet / "data.noun").write_text(DATA_NOUN + "garbage\n")
    with pytest.raises(UsageError, match=r"data\.noun:4: no line"):
        list(read_synsets(wordnet))


def test_no_wordnet_says_how_to_get_one(context: Context, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wordnet-base"):
        context.create("dataset", f'wordnet(path="{tmp_path}")')


def test_ir_datasets_collections(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    ir_datasets = pytest.importorskip("ir_datasets", reason="the extra `irds` is not installed")
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericDoc, GenericQuery, TrecQrel

    class Docs(BaseDocs):
        def docs_iter(self) -> Any:
            return iter([GenericDoc("d1", "cats purr"), GenericDoc("d2", "dogs bark")])

    class Asked(BaseQueries):
        def queries_iter(self) -> Any:
            return iter([GenericQuery("q1", "cats"), GenericQuery("q2", "nothing judged")])

    class Judged(BaseQrels):
        def qrels_iter(self) -> Any:
            return iter([TrecQrel("q1", "d1", 2, "0")])

    ir_datasets.registry.register("spaniel-tiny/test", Dataset(Docs(), Asked(), Judged()))
    dataset = find_dataset(context, "irds:spaniel-tiny/test")
    assert len(open_corpus(context, dataset.documents())) == 2
    assert list(dataset.splits) == ["test"]
    assert dataset.queries("test").ids == ("q1",)
    assert dataset.qrels("test")["q1"] == {"d1": 2}
    with pytest.raises(UsageError, match="knows no collection"):
        find_dataset(context, "irds:no/such")


def test_judgments_of_ir_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ir_datasets = pytest.importorskip("ir_datasets", reason="the extra `irds` is not installed")
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericDoc, GenericQuery, TrecQrel, TrecSubQrel

    class Docs(BaseDocs):
        def docs_iter(self) -> Any:
            return iter([GenericDoc(name, "text") for name in ("q1", "d1", "d2")])

    class Asked(BaseQueries):
        def queries_iter(self) -> Any:
            return iter([GenericQuery("q1", "text")])

    class Judged(BaseQrels):
        def __init__(self, *rows: Any) -> None:
            self.rows = rows

        def qrels_iter(self) -> Any:
            return iter(self.rows)

    def load(*rows: Any, name: str = "spaniel-judged/test", options: str = "") -> Any:
        monkeypatch.setattr(ir_datasets, "load", lambda asked: Dataset(Docs(), Asked(), Judged(*rows)))
        return find_dataset(Context(tmp_path / "store"), f'irds(name="{name}"{options})' if options else f"irds:{name}")

    qrels = load(TrecSubQrel("q1", "d1", 1, "1"), TrecSubQrel("q1", "d1", 0, "2")).qrels("test")
    assert qrels == {"q1": {"d1": 1}}
    assert qrels.subtopics == {"q1": {"1": {"d1": 1}, "2": {"d1": 0}}}
    rows = [TrecQrel("q1", "d1", 1, "0"), TrecQrel("q1", "d2", 2, "0")]
    assert not load(*rows).qrels("test").subtopics
    assert load(*rows, options=", rel=2").qrels("test").relevant("q1") == ["d2"]
    for name, own in (
        ("beir/arguana", True), ("beir/quora/test", True), ("beir/quora/dev", True), ("nano-beir/arguana", True),
        ("beir/scifact/test", False), ("beir/quoran", False),
    ):  # fmt: skip
        dataset = load(*rows, name=name)
        assert dataset.judging.leave_out_own is own, name
        task = open_task(Context(tmp_path / "store"), dataset, None)
        assert task.own_left_out is own
        assert open_task(Context(tmp_path / "store"), dataset, None, leave_out_own=not own).own_left_out is not own
    kept = load(*rows, name="beir/arguana", options=", leave_out_own=false")
    assert not kept.judging.leave_out_own


def test_ir_datasets_reach_no_network_when_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ir_datasets", reason="the extra `irds` is not installed")
    from ir_datasets.util import download

    def reach(self: Any) -> Any:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(download.RequestsDownload, "stream", reach)
    monkeypatch.setattr(download.RequestsDownload, "__iter__", reach)
    offline = Context(tmp_path / "store", offline=True)
    dataset = find_dataset(offline, "irds:vaswani")
    for refused in (lambda: dataset.queries("test"), lambda: open_corpus(offline, dataset.documents())):
        with pytest.raises(UsageError, match=r"irds:vaswani has a file .* offline: put a copy of it at .*vaswani"):
            refused()
    before = download.Download.path
    kept = tmp_path / "kept"
    kept.write_text("here")
    from spaniel_datasets.offline import network

    with network(False, "x"):
        assert download.Download([download.RequestsDownload("http://x.invalid")], cache_path=str(kept)).path() == str(
            kept
        )
        with pytest.raises(UsageError, match="not on this machine"):
            download.Download([download.RequestsDownload("http://x.invalid")], cache_path=str(tmp_path / "no")).path()
    assert download.Download.path is before


@pytest.fixture
def spaniel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SPANIEL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("SPANIEL_CONFIG", str(tmp_path / "config"))

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["datasets", *arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_a_folder_gets_a_name_and_loses_it(spaniel: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "cats"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "cats"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    spaniel("add", "mine", str(folder))
    assert "mine" in {entry["name"] for entry in json.loads(spaniel("list", "--json"))}
    assert json.loads(spaniel("show", "mine", "--json"))["splits"]["test"]["queries"] == 1
    spaniel("export", "mine", str(tmp_path / "copy"))
    assert json.loads((tmp_path / "copy" / "corpus.jsonl").read_text())["_id"] == "d1"
    assert "already" in spaniel("add", "mine", str(folder), code=2)
    spaniel("remove", "mine")
    assert "mine" not in {entry["name"] for entry in json.loads(spaniel("list", "--json"))}

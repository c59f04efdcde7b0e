"""Collections in folders: read, written, and refused with what was found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from spaniel.data import (
    Corpus,
    Document,
    FolderDataset,
    Judging,
    Qrels,
    Queries,
    read_qrels,
    write_documents,
    write_folder,
    write_qrels,
    write_queries,
)
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Store

DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
DOCUMENTS = [
    Document("d1", "t", "a\u2028\n\0", {"url": "u", "n": [1, None]}),
    Document("d2", "", ""),
    Document("ü", "", "ü"),
]
QUERIES = Queries.from_lists(["q1", "q2", "q3"], ["x", "", "z"], [{"domain": "m"}, {}, {}])
QRELS = {"test": Qrels({"q2": {"d1": -1, "d2": 2}, "q1": {"d9": 0}}), "train": Qrels({"q3": {"d1": 1}})}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "mine", DOCUMENTS, QUERIES, QRELS)
    return tmp_path / "mine"


def opened(dataset: FolderDataset, store: Store) -> Corpus:
    need = dataset.documents()
    return Corpus.open(store.obtain(need), need)


def test_round_trip(folder: Path, store: Store) -> None:
    dataset = FolderDataset(folder, store=store)
    assert (dataset.name, dataset.splits) == ("mine", ("test", "train"))
    assert opened(dataset, store).documents([0, 1, 2]) == DOCUMENTS[::-1]
    assert dataset.queries("") == dataset.queries() == QUERIES
    assert dataset.queries("test").ids == ("q1", "q2")
    assert dataset.queries("train") == QUERIES.select([2])
    assert {split: dataset.qrels(split) for split in dataset.splits} == QRELS
    assert dataset.qrels("test").digest == QRELS["test"].digest


def test_splits_that_are_missing_are_answered_with_those_there_are(folder: Path, store: Store) -> None:
    dataset = FolderDataset(folder, store=store)
    for work in (dataset.queries, dataset.qrels):
        with pytest.raises(UsageError, match="no split 'dev'; it has test, train"):
            work("dev")


def test_without_judgments_and_queries(tmp_path: Path, store: Store) -> None:
    write_folder(tmp_path / "bare", [])
    dataset = FolderDataset(tmp_path / "bare", store=store)
    assert dataset.splits == ()
    assert len(opened(dataset, store)) == 0
    with pytest.raises(UsageError, match=r"has no queries\.jsonl"):
        dataset.queries("")
    with pytest.raises(UsageError, match="it has none"):
        dataset.qrels("test")
    write_queries(tmp_path / "bare" / "queries.jsonl", Queries.from_lists([], []))
    assert len(FolderDataset(tmp_path / "bare", store=store).queries("")) == 0


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*corpus\.jsonl"):
        FolderDataset(tmp_path / "none")
    with pytest.raises(UsageError, match=r"holds nothing; a collection has corpus\.jsonl"):
        FolderDataset(tmp_path)
    for number in range(10):
        (tmp_path / f"file{number}.xml").touch()
    with pytest.raises(UsageError, match=r"holds file0\.xml, .*file7\.xml …; a collection has corpus\.jsonl"):
        FolderDataset(tmp_path)
    with pytest.raises(UsageError, match="fail or skip"):
        FolderDataset(tmp_path, on_error="ignore")


def test_two_files_that_hold_the_same_are_refused(folder: Path) -> None:
    (folder / "corpus.csv").write_text("id,text\n")
    with pytest.raises(UsageError, match=r"both corpus\.csv and corpus\.jsonl"):
        FolderDataset(folder)


def test_shards_packings_and_files_that_do_not_belong(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    write_documents(folder / "corpus-1.jsonl.gz", DOCUMENTS[:1])
    write_documents(folder / "corpus-2.jsonl.zst", DOCUMENTS[1:])
    write_queries(folder / "queries.jsonl.gz", QUERIES)
    (folder / "queries-old.jsonl").write_text("no JSON")
    (folder / ".corpus.jsonl").write_text("no JSON")
    (folder / "qrels").mkdir()
    (folder / "qrels" / ".hidden").write_text("x")
    (folder / "qrels" / "README.md").write_text("x")
    write_qrels(folder / "qrels" / "test.v2.tsv.gz", QRELS["test"])
    write_qrels(folder / "qrels" / "dev.qrels", QRELS["train"], trec=True)
    dataset = FolderDataset(folder, store=store)
    assert dataset.splits == ("dev", "test.v2")
    assert dataset.qrels("dev") == QRELS["train"]
    assert (folder / "qrels" / "dev.qrels").read_text() == "q3 0 d1 1\n"
    assert opened(dataset, store).documents([0, 1, 2]) == DOCUMENTS[::-1]
    assert dataset.queries("dev").ids == ("q3",)
    assert set(dataset.documents().recipe.inputs) == {"corpus-1.jsonl.gz", "corpus-2.jsonl.zst"}


def test_judgments_keep_what_they_have(tmp_path: Path, store: Store) -> None:
    by_subtopic = Qrels.from_subtopics({"q1": {"a": {"d1": 1, "d 2": 0}, "b": {"d1": 0.5}}, "q2": {"a": {"d1": -1}}})
    write_folder(tmp_path / "made", DOCUMENTS, QUERIES, {"test": by_subtopic}, Judging(rel=0.5, leave_out_own=True))
    again = FolderDataset(tmp_path / "made", store=store)
    assert again.judging == Judging(0.5, True)
    assert again.qrels("test") == by_subtopic
    assert again.qrels("test").subtopics == by_subtopic.subtopics
    assert again.qrels("test").level == 0.5
    write_qrels(tmp_path / "trec.qrels", by_subtopic, trec=True)
    assert (tmp_path / "trec.qrels").read_text() == "q1 a d1 1\nq1 a d%202 0\nq1 b d1 0.5\nq2 a d1 -1\n"
    write_folder(tmp_path / "usual", DOCUMENTS, QUERIES, QRELS, Judging())
    assert not (tmp_path / "usual" / "spaniel.json").exists()


def test_the_content_of_the_files_identifies_the_corpus(folder: Path, store: Store, tmp_path: Path) -> None:
    address = FolderDataset(folder, store=store).documents().recipe.address
    write_folder(tmp_path / "other" / "name", DOCUMENTS, QUERIES, QRELS)
    assert FolderDataset(tmp_path / "other" / "name", store=store).documents().recipe.address == address
    assert FolderDataset(folder, "skip", store).documents().recipe.address != address
    write_documents(folder / "corpus.jsonl", DOCUMENTS[:2])
    assert FolderDataset(folder, store=store).documents().recipe.address != address


def test_a_file_that_changes_while_it_is_read(folder: Path, store: Store) -> None:
    need = FolderDataset(folder, store=store).documents()
    write_documents(folder / "corpus.jsonl", DOCUMENTS[:2])
    with pytest.raises(UsageError, match=r"corpus\.jsonl was changed"):
        store.obtain(need)
    assert store.find(need.recipe) is None


def test_what_is_left_out_is_counted(folder: Path, store: Store) -> None:
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('no JSON\n{"_id": " a", "text": ""}\n{"_id": "d1", "text": "again"}\n')
    with (folder / "queries.jsonl").open("a") as file:
        file.write("no JSON\n")
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q1\td1\n")
        file.write("q9\td1\t1\n")
    strict = FolderDataset(folder, store=store)
    with pytest.raises(UsageError, match=r"corpus\.jsonl:4: no JSON"):
        store.obtain(strict.documents())
    with pytest.raises(UsageError, match=r"queries\.jsonl:4: no JSON"):
        strict.queries("test")
    dataset = FolderDataset(folder, "skip", store)
    need = dataset.documents()
    info = store.obtain(need).info
    assert (info["documents"], info["skipped"], info["duplicates"]) == (3, 2, 1)
    assert [message.partition(": ")[0].rpartition(":")[2] for message in info["first_skipped"]] == ["4", "5", "6"]
    assert Corpus.open(store.obtain(need), need).documents([0, 1, 2]) == DOCUMENTS[::-1]
    assert dataset.queries("test").ids == ("q1", "q2")
    assert dataset.skipped["queries.jsonl"].count == 2
    assert dataset.skipped["test.tsv"].count == 1


def test_a_judged_query_that_is_missing(folder: Path, store: Store) -> None:
    write_qrels(folder / "qrels" / "test.tsv", Qrels({"q1": {"d1": 1}, "q9": {"d1": 1}}))
    with pytest.raises(UsageError, match=r"test\.tsv: judges the query 'q9', which queries\.jsonl does not have"):
        FolderDataset(folder, store=store).queries("test")


def test_writers_refuse(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is overwritten"):
        write_folder(folder, [])
    with pytest.raises(UsageError, match="nothing is overwritten"):
        write_folder(folder / "corpus.jsonl", [])
    with pytest.raises(ArtifactError, match="cannot be made"):
        write_folder(folder / "corpus.jsonl" / "x", [])
    for document in (Document("a\tb"), Document("a", "\ud800"), Document("a", metadata={"x": {1}})):
        with pytest.raises(UsageError, match="document 'a"):
            write_documents(tmp_path / "new.jsonl", [Document("ok"), document])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


@pytest.mark.parametrize(
    ("name", "split", "documents", "queries", "pairs"),
    [
        ("cranfield", "test", 1400, 225, 1837),
        ("scifact", "test", 5183, 300, 339),
        ("scifact", "train", 5183, 809, 919),
        ("vaswani", "test", 11429, 93, 2083),
        ("cmrc2018-zh", "test", 1104, 3219, 3219),
    ],
)
def test_collections(name: str, split: str, documents: int, queries: int, pairs: int, store: Store) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"there is no {DATA / name}: set SPANIEL_TEST_DATA")
    dataset = FolderDataset(DATA / name, store=store)
    corpus = opened(dataset, store)
    qrels = dataset.qrels(split)
    assert len(corpus) == documents
    assert len(dataset.queries(split)) == len(qrels) == queries
    assert sum(len(judged) for judged in qrels.values()) == pairs
    ids = [document.id for batch in corpus.batches(500) for document in batch.documents]
    assert ids == sorted(ids, reverse=True)
    judged = sorted({document for grades in qrels.values() for document in grades})
    assert (corpus.rows(judged) >= 0).all()
    assert read_qrels(DATA / name / "qrels" / f"{split}.tsv") == qrels


def test_ms_marco_is_a_collection(tmp_path: Path, store: Store) -> None:
    (tmp_path / "collection.tsv").write_text("0\tof the project\n1\tof communication\n")
    (tmp_path / "queries.dev.tsv").write_text("7\twhat is it\n8\twhy\n")
    (tmp_path / "queries.dev.small.tsv").write_text("7\twhat is it\n")
    (tmp_path / "qrels.dev.small.tsv").write_text("7\t0\t1\t1\n")
    dataset = FolderDataset(tmp_path, store=store)
    assert opened(dataset, store).ids([0, 1]) == ["1", "0"]
    assert dataset.splits == ("dev.small",)
    assert dataset.qrels("dev.small") == {"7": {"1": 1}}
    assert dataset.queries("dev.small").texts == ("what is it",)
    assert dataset.queries().ids == ("7", "8")
    (tmp_path / "queries.dev.small.tsv").write_text("7\tanother\n")
    with pytest.raises(UsageError, match=r"queries\.dev\.tsv: the query id '7' comes twice, with two texts"):
        dataset.queries()


def test_judgments_without_an_ending_are_read(folder: Path, store: Store) -> None:
    (folder / "qrels" / "eval").write_text("q1 0 d1 1\n")
    (folder / "qrels" / "README").write_text("about them\n")
    assert FolderDataset(folder, store=store).splits == ("eval", "test", "train")

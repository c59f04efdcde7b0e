"""Which files of a folder are documents, queries and judgments: BEIR's layout and TREC's files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from spaniel.data import Corpus, FilesDataset, FolderDataset, open_folder
from spaniel.errors import UsageError
from spaniel.store import Store

DOCS = "<DOC>\n<DOCNO> d1 </DOCNO>\n<TEXT>flat tyre</TEXT>\n</DOC>\n<DOC><DOCNO>d2</DOCNO><TEXT>bees</TEXT></DOC>\n"
TOPICS = "<top>\n<num> Number: 51\n<title> tyres\n<desc> Description:\nflat ones\n</top>\n"
QRELS = "51 0 d1 1\n51 0 d2 0\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "trec"
    place.mkdir()
    return place


def ids(dataset: FolderDataset | FilesDataset, store: Store) -> list[str]:
    need = dataset.documents()
    corpus = Corpus.open(store.obtain(need), need)
    return corpus.ids(range(len(corpus)))


@pytest.mark.parametrize(
    ("documents", "topics", "qrels", "split"),
    [
        ("docs.trec", "topics.txt", "qrels.txt", "test"),
        ("documents/a/fb396.001", "topics.51-100", "qrels.test", "test"),
        ("docs/part.xml", "topics.adhoc.xml", "qrels.adhoc.txt", "adhoc"),
        ("collection/x", "queries.trec", "cranqrel", "cran"),
        ("docs.sgml.gz", "topics/51.txt", "qrels/dev.txt", "dev"),
    ],
)
def test_trec_files_are_a_collection(
    documents: str, topics: str, qrels: str, split: str, folder: Path, store: Store
) -> None:
    for name, content in ((documents, DOCS), (topics, TOPICS), (qrels, QRELS)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    (folder / "README").write_text("what this is")
    dataset = open_folder(folder, store=store)
    assert isinstance(dataset, FolderDataset)
    assert ids(dataset, store) == ["d2", "d1"]
    assert dataset.splits == (split,)
    assert dataset.queries(split).ids == ("51",)
    assert dataset.queries(split).texts == ("tyres",)
    assert dict(dataset.qrels(split)["51"]) == {"d1": 1, "d2": 0}


@pytest.mark.parametrize(
    ("name", "content", "split"),
    [
        ("qrels/test.csv", "query-id,corpus-id,score\nq1,d1,2\n", "test"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\n", "test"),
        ("qrels/test.txt", "q1 0 d1 2\n", "test"),
        ("qrels/test.jsonl", '{"query_id": "q1", "doc_id": "d1", "relevance": 2}\n', "test"),
        ("qrels.txt", "q1 0 d1 2\n", "test"),
        ("qrels.tsv", "q1\td1\t2\n", "test"),
        ("qrels.dev.tsv", "q1\td1\t2\n", "dev"),
        ("test.qrels", "q1 0 d1 2\n", "test"),
        ("qrels.test", "q1 0 d1 2\n", "test"),
    ],
)
def test_judgments_are_seen(name: str, content: str, split: str, folder: Path, store: Store) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "x"}\n')
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    dataset = FolderDataset(folder, store=store)
    assert dataset.splits == (split,)
    assert dict(dataset.qrels(split)["q1"]) == {"d1": 2}
    assert dataset.unread == {}


def test_what_looks_like_queries_or_judgments_and_is_not_read_is_named(folder: Path, store: Store) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "x"}\n')
    (folder / "qrels").mkdir()
    for name in ("queries-old.jsonl", "judgments.tsv", "qrels/test.xlsx", "topics.txt"):
        (folder / name).write_text("x")
    dataset = FolderDataset(folder, store=store)
    assert set(dataset.unread) == {"queries-old.jsonl", "judgments.tsv", "qrels/test.xlsx", "topics.txt"}
    assert "looks like judgments" in dataset.unread["qrels/test.xlsx"]
    assert "the queries are in queries.jsonl" in dataset.unread["topics.txt"]


def test_two_judgments_of_one_split_are_refused(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n')
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    (folder / "qrels.txt").write_text("q1 0 d1 1\n")
    with pytest.raises(UsageError, match=r"both qrels/test\.tsv and qrels\.txt"):
        FolderDataset(folder)


def test_queries_and_judgments_without_documents_are_no_notes(folder: Path, store: Store) -> None:
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "x"}\n')
    (folder / "qrels").mkdir()
    with pytest.raises(UsageError, match=r"a collection has corpus\.jsonl"):
        open_folder(folder, store=store)


def test_a_file_of_documents(folder: Path, store: Store) -> None:
    (folder / "docs.trec").write_text(DOCS)
    (folder / "docs.csv").write_text("id,text\nx,y\n")
    assert ids(open_folder(folder / "docs.trec", store=store), store) == ["d2", "d1"]
    assert ids(open_folder(folder / "docs.csv", store=store), store) == ["x"]


NOTE = "My topics for the week: bees, tyres.\n"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        # A name alone decides nothing, and one file among notes does not either.
        ({"a.md": NOTE, "b.txt": NOTE, "how trec looks.txt": DOCS}, FilesDataset),
        ({"a.md": NOTE, "docs/sample.sgml": DOCS, "deep/er/b.txt": NOTE}, FilesDataset),
        ({"a.md": NOTE, "b.md": NOTE, "x.trec": DOCS, "topics.txt": NOTE, "qrels.txt": NOTE}, FilesDataset),
        ({"topics.md": NOTE, "queries about cats.txt": NOTE, "qrels-notes.md": NOTE}, FilesDataset),
        ({"topics.txt": NOTE, "queries.csv": "a,b\n1,2\n"}, FilesDataset),
        ({"corpus christi.csv": "place,date\nx,y\n", "a.md": NOTE}, FilesDataset),
        ({"corpus.jsonl": '{"_id": "d1", "text": "x"}\n', "a.md": NOTE, "b.md": NOTE}, FilesDataset),
        ({"corpus-old.csv": "a,b\nx,y\n"}, FilesDataset),
        ({"corpus.jsonl": '{"_id": "d1", "text": "x"}\n', "README.md": NOTE, "LICENSE": NOTE}, FolderDataset),
        (
            {"corpus.jsonl": '{"_id": "d1", "text": "x"}\n', "queries.jsonl": "", "a.md": NOTE, "b.md": NOTE},
            FolderDataset,
        ),
        ({"x.trec": DOCS, "topics.51": TOPICS, "a.md": NOTE, "b.md": NOTE}, FolderDataset),
        ({"x.trec": DOCS, "qrels.txt": QRELS, "a.md": NOTE, "b.md": NOTE}, FolderDataset),
        ({"x.trec": DOCS, "y.trec": DOCS.replace("d1", "d3").replace("d2", "d4"), "about.txt": NOTE}, FolderDataset),
    ],
)
def test_only_a_whole_layout_is_a_collection(files: dict[str, str], kind: type, folder: Path, store: Store) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    link = folder.parent / "link"
    link.symlink_to(folder)
    for place in (folder, link):
        dataset = open_folder(place, store=store)
        assert type(dataset) is kind
        if isinstance(dataset, FolderDataset) and "a.md" in files:
            assert "searches all files" in dataset.unread["what else is there"]


def test_a_table_with_a_column_called_id_is_no_collection_without_a_text(folder: Path, store: Store) -> None:
    (folder / "bikes.csv").write_text("id,colour,price\n7,red,100\n")
    assert ids(open_folder(folder / "bikes.csv", store=store), store) == ["bikes.csv#1"]

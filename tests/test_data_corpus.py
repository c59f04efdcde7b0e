"""The document store: order, look-ups, odd documents, damage, kills, threads and forks."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.data import Corpus, Document, Faults, Located, corpus_need, docstore, documents_need
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Draft, Store

IDS = st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1, max_size=4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
METADATA = st.dictionaries(
    TEXTS, st.one_of(st.none(), st.booleans(), st.integers(), TEXTS, st.lists(TEXTS)), max_size=2
)
DOCUMENTS = st.lists(st.builds(Document, IDS, TEXTS, TEXTS, METADATA), max_size=12, unique_by=lambda d: d.id)


def located(documents: list[Document]) -> Iterator[Located]:
    return ((f"file:{number}", document) for number, document in enumerate(documents, 1))


def build(folder: Path, documents: list[Document], on_error: str = "skip") -> Draft:
    folder.mkdir(exist_ok=True)
    draft = Draft(folder)
    faults = Faults(on_error)
    docstore.build_store(located(documents), draft, faults)
    return draft


@settings(deadline=None)
@given(DOCUMENTS, st.data())
def test_rows_descend_by_id(documents: list[Document], data: st.DataObject) -> None:
    corpus = Corpus.from_documents(documents)
    expected = sorted(documents, key=lambda document: document.id.encode(), reverse=True)
    assert len(corpus) == len(documents)
    everything = range(len(corpus))
    assert corpus.documents(everything) == expected
    assert corpus.ids(everything) == [document.id for document in expected]
    assert corpus.contents(everything) == [f"{d.title} {d.text}".strip() for d in expected]
    size = data.draw(st.integers(1, 5))
    start = data.draw(st.integers(0, len(corpus)))
    batches = list(corpus.batches(size, start))
    assert [document for batch in batches for document in batch.documents] == expected[start:]
    assert [batch.start for batch in batches] == list(range(start, len(corpus), size))
    if documents:
        rows = data.draw(st.lists(st.integers(0, len(corpus) - 1)))
        assert corpus.documents(np.array(rows, np.int32)) == [expected[row] for row in rows]
        assert corpus.rows(corpus.ids(rows)).tolist() == rows


def test_the_order_in_which_documents_come_makes_no_difference() -> None:
    documents = [Document(f"d{number}", "t", f"text {number}", {"n": number}) for number in range(50)]
    one, two = Corpus.from_documents(documents), Corpus.from_documents(reversed(documents))
    assert one.digest == two.digest
    assert one.digest != Corpus.from_documents(documents[:-1]).digest
    assert one.digest != Corpus.from_documents([*documents[:-1], documents[-1]._replace(title="u")]).digest
    assert one.address == one.need.recipe.address == two.address


def test_unknown_ids_and_rows() -> None:
    corpus = Corpus.from_documents([Document("a"), Document("b")])
    rows = corpus.rows(["b", "nobody", "a", "", "a\0", "\ud800", "A", "b"])
    assert rows.tolist() == [0, -1, 1, -1, -1, -1, -1, 0]
    assert rows.dtype == np.int32
    assert corpus.rows([]).tolist() == corpus.ids([]) == []
    for row in (-1, 2):
        with pytest.raises(UsageError, match=f"no row {row} in a corpus of 2"):
            corpus.ids([0, row])
    with pytest.raises(UsageError, match="at least 1"):
        list(corpus.batches(0))


def test_many_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spaniel.data.corpus._ASK", 7)
    corpus = Corpus.from_documents(Document(f"d{number:03d}") for number in range(100))
    rows = np.random.default_rng(0).integers(0, 100, 1000)
    assert corpus.ids(rows) == [f"d{99 - row:03d}" for row in rows]
    assert corpus.rows(corpus.ids(rows)).tolist() == rows.tolist()


def test_an_empty_corpus() -> None:
    corpus = Corpus.from_documents([])
    assert len(corpus) == 0
    assert list(corpus.batches(10)) == []
    assert corpus.rows(["a"]).tolist() == [-1]


def test_empty_and_odd_texts_are_kept(tmp_path: Path) -> None:
    huge = "löng " * 400_000
    documents = [Document("empty"), Document("huge", "t", huge), Document("odd", "\0", "a\0b\r\n\u2028\U0001f436")]
    draft = build(tmp_path, documents, "fail")
    corpus = Corpus(
        draft.path / docstore.FILE, documents_need(lambda: iter(()), "x", {}), {"documents": 3, "digest": ""}
    )
    assert corpus.documents([0, 1, 2]) == documents[::-1]
    assert corpus.contents(corpus.rows(["empty"])) == [""]
    assert (draft.info["documents"], draft.info["empty"]) == (3, 1)
    assert draft.info["characters"] == sum(len(d.title) + len(d.text) for d in documents)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [docstore.FILE]


BAD = {
    "no id": (Document(""), "the id is ''"),
    "number": (Document(7), "the id is 7"),
    "white space": (Document("a\tb"), "white space"),
    "line end": (Document("a\u2028b"), "white space"),
    "nul": (Document("a\0b"), "NUL"),
    "surrogate": (Document("s", "", "a\ud800"), "lone surrogate at character 1"),
    "surrogate in the id": (Document("s\udfff"), "lone surrogate"),
    "no text": (Document("s", "", None), "not NoneType"),
    "metadata": (Document("s", "", "", {"x": {1}}), "no JSON form"),
    "nan": (Document("s", "", "", {"x": float("nan")}), "no JSON form"),
    "surrogate in metadata": (Document("s", "", "", {"x": "\ud800"}), "lone surrogate"),
    "deep": (Document("s", "", "", json.loads('{"x":' * 101 + "1" + "}" * 101)), "100 deep"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_documents(name: str, tmp_path: Path) -> None:
    document, message = BAD[name]
    with pytest.raises(UsageError, match=f"^file:2: .*{message}.*--on-error skip"):
        build(tmp_path / "fail", [Document("a"), document], "fail")
    info = build(tmp_path / "skip", [Document("a"), document, Document("b")]).info
    assert (info["documents"], info["skipped"], info["duplicates"], len(info["first_skipped"])) == (2, 1, 0, 1)
    assert info["first_skipped"][0].startswith("file:2: ")


def test_the_first_of_several_documents_with_one_id_is_kept(tmp_path: Path) -> None:
    documents = [Document("b", text="first"), Document("a"), Document("b", text="second"), Document("b", text="third")]
    with pytest.raises(UsageError, match="file:3: the document id 'b' comes twice; it was at file:1 before"):
        build(tmp_path / "fail", documents, "fail")
    draft = build(tmp_path / "skip", documents)
    corpus = Corpus(
        draft.path / docstore.FILE, documents_need(lambda: iter(()), "x", {}), {"documents": 2, "digest": ""}
    )
    assert corpus.contents([0, 1]) == ["first", ""]
    assert (draft.info["documents"], draft.info["duplicates"], draft.info["skipped"]) == (2, 2, 0)


def test_only_the_first_ten_messages_are_kept(tmp_path: Path) -> None:
    info = build(tmp_path, [Document("a\tb")] * 25).info
    assert (info["skipped"], len(info["first_skipped"]), info["documents"]) == (25, 10, 0)


def test_a_build_that_stops_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstore, "COMMIT", 10)
    documents = [Document(f"d{number * 37 % 100:02d}", text="x") for number in range(100)]
    documents[15] = Document("a\tb")
    written: list[str] = []
    original = docstore._checked

    def until(limit: int) -> None:
        def checked(source: Iterator[Located], faults: Faults) -> Iterator[tuple[str, ...]]:
            for number, record in enumerate(original(source, faults)):
                if number == limit:
                    raise KeyboardInterrupt
                yield record

        monkeypatch.setattr(docstore, "_checked", checked)

    progress: list[int] = []
    for limit in (0, 35, 98):
        until(limit)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "stopped", documents)
        with sqlite3.connect(tmp_path / "stopped" / docstore._STAGED) as staged:
            written.append(staged.execute("SELECT count(*) FROM staged").fetchone()[0])
    assert written == [0, 30, 90]
    monkeypatch.setattr(docstore, "_checked", original)
    draft = Draft(tmp_path / "stopped", progress=lambda total, unit: progress.append)
    docstore.build_store(located(documents), draft, Faults("skip"))
    assert progress == [20, 20, 20, 20, 19], "documents are told as they come, not a commit at a time"
    whole = build(tmp_path / "whole", documents)
    assert draft.info == whole.info
    assert draft.info["skipped"] == 1
    assert (draft.path / docstore.FILE).read_bytes() == (whole.path / docstore.FILE).read_bytes()

    # After the sorting nothing is read again.
    once_more = Draft(tmp_path / "stopped")
    docstore.build_store(iter([]), once_more, Faults("skip"))
    assert once_more.info == whole.info


KILLED = """
import os, signal, sys
from pathlib import Path
from spaniel.data import Document, docstore, documents_need
from spaniel.store import Store
docstore.COMMIT = 50
def read():
    for number in range(1000):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield Document(f"d{number}", "title", "text " * number)
print(Store(sys.argv[1]).obtain(documents_need(read, "x", {})).info["digest"])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_that_is_killed(tmp_path: Path) -> None:
    def start(at: int, store: str = "store") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(tmp_path / store), str(at)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert start(777).returncode == -signal.SIGKILL
    assert not (tmp_path / "store" / "artifacts").exists() or not list((tmp_path / "store" / "artifacts").iterdir())
    (staged,) = (tmp_path / "store").rglob(docstore._STAGED)
    with sqlite3.connect(staged) as database:
        assert database.execute("SELECT count(*) FROM staged").fetchone() == (750,)
    resumed, whole = start(-1), start(-1, "other")
    assert (resumed.returncode, resumed.stdout) == (0, whole.stdout)
    assert len(whole.stdout) == 65


def test_the_recipe(tmp_path: Path) -> None:
    def need(**changes: object) -> str:
        options: dict = {"read": located, "component": "x/y", "inputs": {"a": "1"}, "config": {"reader": "1"}} | changes
        return corpus_need(**options).recipe.address

    addresses = [
        need(), need(on_error="skip"), need(inputs={"a": "2"}), need(config={"reader": "2"}), need(version="9"),
        need(component="x/z"),
    ]  # fmt: skip
    assert len(set(addresses)) == len(addresses)
    with pytest.raises(UsageError, match="fail or skip"):
        need(on_error="ignore")


def test_an_artifact_is_opened(tmp_path: Path) -> None:
    store = Store(tmp_path)
    need = documents_need(lambda: iter([Document("a", "b", "c", {"d": ["e"]})]), "x", {})
    corpus = Corpus.open(store.obtain(need), need)
    assert corpus.documents([0]) == [Document("a", "b", "c", {"d": ["e"]})]
    assert corpus.need is need
    assert corpus.address == need.recipe.address


def test_damage_is_named(tmp_path: Path) -> None:
    draft = build(tmp_path, [Document(f"d{number}", text="x" * 1000) for number in range(100)])
    file = draft.path / docstore.FILE
    need = documents_need(lambda: iter(()), "x", {})
    with pytest.raises(ArtifactError, match=r"corpus\.sqlite: has no row 100"):
        Corpus(file, need, {"documents": 101, "digest": ""}).ids([100])
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"corpus\.sqlite"):
        Corpus(file, need, {"documents": 100, "digest": ""}).documents(range(100))
    file.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        Corpus(file, need, {"documents": 100, "digest": ""}).ids([0])


def test_a_damaged_draft_is_removed(tmp_path: Path) -> None:
    (tmp_path / docstore._STAGED).write_bytes(b"this is no database" * 1000)
    with pytest.raises(ArtifactError, match="build again"):
        build(tmp_path, [Document("a")])
    assert build(tmp_path, [Document("a")]).info["documents"] == 1


def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sqlite3.connect

    def small(*arguments, **options) -> sqlite3.Connection:
        connection = original(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(OSError, match="no space") as caught:
        build(tmp_path, [Document(f"d{number}", text="x" * 1000) for number in range(500)])
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert build(tmp_path, [Document("a")]).info["documents"] == 1


def test_from_several_threads() -> None:
    corpus = Corpus.from_documents(Document(f"d{number:04d}", text=f"text {number}") for number in range(2000))

    def look(seed: int) -> bool:
        rows = np.random.default_rng(seed).integers(0, 2000, 500)
        return corpus.contents(rows) == [f"text {1999 - row}" for row in rows]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(40)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_a_fork() -> None:
    corpus = Corpus.from_documents(Document(f"d{number}") for number in range(100))
    expected = corpus.ids(range(100))
    inherited = corpus._connection()
    child = os.fork()
    if not child:
        os._exit(0 if corpus.ids(range(100)) == expected and corpus._connection() is not inherited else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert corpus.ids(range(100)) == expected


def test_the_file_of_a_corpus_in_memory_goes_with_it() -> None:
    corpus = Corpus.from_documents([Document("a")])
    path = corpus._path
    assert path.exists()
    del corpus
    assert not path.exists()


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Three hundred documents of a megabyte are built and iterated in far less memory than they have."""
    program = """
import sys, resource
from spaniel.data import Corpus, Document, documents_need
from spaniel.store import Store
def read():
    for number in range(300):
        yield Document(f"d{number * 7 % 300}", "", f"{number % 10}" * 2**20)
need = documents_need(read, "x", {})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corpus = Corpus.open(Store(sys.argv[1]).obtain(need), need)
assert sum(len(d.text) for batch in corpus.batches(4) for d in batch.documents) == 300 * 2**20
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    pytest.importorskip("resource")
    run = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    unit = 1024 if sys.platform == "darwin" else 1
    assert int(done.stdout) / unit < 200

"""Ordinary files as a collection: what is read, what is passed over and why, and what identifies it."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from spaniel import Context, hookimpl
from spaniel.cli.main import main
from spaniel.collections import find_dataset
from spaniel.data import Corpus, Document, FilesDataset, FolderDataset, open_folder
from spaniel.data.texts import html
from spaniel.data.texts.decoding import NoTextError, decode
from spaniel.data.texts.html import read_html
from spaniel.data.texts.passages import count_words, cut
from spaniel.data.texts.records import read_table
from spaniel.data.texts.walking import as_id
from spaniel.errors import UsageError
from spaniel.observe import Stage
from spaniel.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    return folder


def read(path: Path, store: Store, **options: Any) -> tuple[dict[str, Document], dict[str, Any]]:
    dataset = FilesDataset(path, store, **options)
    need = dataset.documents()
    corpus = Corpus.open(store.obtain(need), need)
    return {d.id: d for d in corpus.documents(range(len(corpus)))}, dataset.reading(corpus.info)


def why(reading: dict[str, Any]) -> dict[str, str]:
    return {name: one["why"] for one in reading["passed_over"] for name in one["first"]}


def test_every_kind_of_file(notes: Path, store: Store) -> None:
    files: dict[str, str | bytes] = {
        "bike.txt": "How to mend a flat tyre.\n\nGlue a patch.\n",
        "cake.md": "---\ntitle: Apple cake\ntags: [food, cake]\n---\n# Heading\n\nSix apples.\n",
        "plan.md": "# Garden plan\n\nTomatoes in May.\n",
        "bees.rst": "====\nBees\n====\n\nHoney.\n",
        "page.html": "<title>Tyre &amp; wheel</title><script>hidden()</script><style>b{}</style><h1>Hello</h1><p>One<br>two",
        "people.csv": "name;town\nBob;Köln\nAnn;Paris\n",
        "things.tsv": "id\ttext\n7\tround things\n",
        "log.jsonl": '{"title": "A", "text": "monday", "day": 3}\nno json\n{"deep": {"er": ["text"]}}\n',
        "conf.json": '{"font": "mono", "n": 5}',
        "sub/deep file.txt": "nested",
        "README": "no ending",
        "utf16.txt": "sixteen".encode("utf-16"),
        "bom.txt": b"\xef\xbb\xbfmark",
        "west.txt": "Élève à l'école, il a crevé son pneu hier soir.".encode("cp1252"),
        "east.txt": "Привет, мир! Как починить спущенное колесо велосипеда".encode("cp1251"),
        "latin.html": b"<meta charset='iso-8859-1'><p>Cr\xe8me",
        "empty.txt": "",
        "blank.md": " \n\n",
        "photo.jpg": b"\xff\xd8",
        "binary.txt": bytes(range(256)),
        ".hidden.md": "secret",
        "bad.pdf": b"%PDF-1.4 garbage",
        "big.txt": "x " * 2**20,
    }
    for name, content in files.items():
        (notes / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (notes / "out.md").symlink_to("/etc/hostname")
    (notes / "loop").symlink_to("..")
    os.mkfifo(notes / "pipe.txt")
    documents, reading = read(notes, store, largest=1)
    texts = {name: (d.title, d.text) for name, d in documents.items()}
    assert texts == {
        "bike.txt": ("bike", "How to mend a flat tyre.\n\nGlue a patch."),
        "cake.md": ("Apple cake", "Six apples."),
        "plan.md": ("Garden plan", "Tomatoes in May."),
        "bees.rst": ("Bees", "Honey."),
        "page.html": ("Tyre & wheel", "Hello\n\nOne\ntwo"),
        "people.csv#1": ("Bob", "Köln"),
        "people.csv#2": ("Ann", "Paris"),
        "things.tsv#1": ("", "round things"),
        "log.jsonl#1": ("A", "monday"),
        "log.jsonl#3": ("", "text"),
        "conf.json#1": ("", "mono\n5"),
        "sub/deep file.txt": ("deep file", "nested"),
        "README": ("README", "no ending"),
        "utf16.txt": ("utf16", "sixteen"),
        "bom.txt": ("bom", "mark"),
        "west.txt": ("west", "Élève à l'école, il a crevé son pneu hier soir."),
        "east.txt": ("east", "Привет, мир! Как починить спущенное колесо велосипеда"),
        "latin.html": ("latin", "Crème"),
    }
    assert documents["cake.md"].metadata["tags"] == ["food", "cake"]
    assert documents["log.jsonl#1"].metadata["day"] == 3
    assert documents["log.jsonl#3"].metadata["row"] == 3
    reasons = why(reading)
    assert {name: reason.partition(" (")[0] for name, reason in reasons.items()} == {
        "empty.txt": "empty",
        "blank.md": "empty",
        "photo.jpg": "no reader for .jpg",
        "binary.txt": "binary",
        ".hidden.md": "hidden",
        "bad.pdf": reasons["bad.pdf"].partition(" (")[0],
        "big.txt": "larger than 1 MiB",
        "out.md": "a link",
        "loop": "a link",
        "pipe.txt": "no ordinary file",
        "log.jsonl, row 2": "no JSON",
    }
    assert "PDF" in reasons["bad.pdf"]
    assert reading["guessed"]["cp1252"]["first"] == ["west.txt"]
    assert reading["guessed"]["cp1251"]["first"] == ["east.txt"]
    assert sum(reading["read"].values()) == 16


def test_passages_know_their_file_and_span(notes: Path, store: Store) -> None:
    body = "\n\n".join(f"Paragraph {n}. " + "word " * 60 for n in range(20))
    (notes / "long.md").write_text(f"# Long\n\n{body}\n")
    documents, _ = read(notes, store, words=130)
    whole = (notes / "long.md").read_text()
    assert sorted(documents) == sorted(f"long.md#{n}" for n in range(1, 11))
    for document in documents.values():
        begin, end = document.metadata["span"]
        assert (document.title, document.metadata["file"]) == ("Long", "long.md")
        assert whole[begin:end] == document.text
        assert document.text.startswith("Paragraph"), "passages begin with paragraphs"


def test_nothing_of_a_text_is_lost_or_doubled_by_cutting() -> None:
    generator = random.Random(1)
    parts = ["a", "bb. ", "\n", "\n\n", " ", "x" * 60, "漢字", "。", "! "]
    for _ in range(500):
        text = "".join(generator.choice(parts) for _ in range(generator.randrange(60)))
        spans = list(cut(text, generator.choice([1, 2, 5, 20])))
        assert all(a < b for a, b in spans)
        assert all(before[1] <= behind[0] for before, behind in itertools.pairwise(spans))
        assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert [len(list(cut("word " * 1000, 250))), len(list(cut("自転車。" * 1000, 250)))] == [4, 4]


@pytest.mark.parametrize("end", [".", "?", "।", "؟", "۔", "။", "።"])
def test_passages_end_where_sentences_of_every_script_do(end: str) -> None:
    text = f"a b c d{end} " * 10
    assert {text[start:stop][-1] for start, stop in cut(text, 10)} == {end}
    assert [count_words(text) for text in ("one two", "中文检索系统", "ภาษาไทย", "")] == [2, 3, 3, 0]


def test_names_that_ids_cannot_hold(notes: Path, store: Store) -> None:
    names = [b"od\xffd\nname.txt", "café.txt".encode(), b"a#1.txt", b"100%25.txt", b" x .txt", b"n" * 250 + b".txt"]
    for name in names:
        Path(os.fsdecode(os.fsencode(notes) + b"/" + name)).write_text("text")
    documents, _ = read(notes, store)
    assert {"od%FFd%0Aname.txt", "café.txt", "a%231.txt", "100%2525.txt", "%20x .txt"} < set(documents)
    assert len(documents) == len(names)
    assert as_id("a\x1b[31m") == "a%1B[31m"


def test_what_identifies_the_collection(notes: Path, store: Store) -> None:
    (notes / "a.txt").write_text("one")
    address = FilesDataset(notes, store).documents().recipe.address
    (notes / "photo.jpg").write_bytes(b"x")
    (notes / ".hidden").write_text("x")
    assert FilesDataset(notes, store).documents().recipe.address == address, "what is not read changes nothing"
    assert FilesDataset(notes, store, words=10).documents().recipe.address != address
    need = FilesDataset(notes, store).documents()
    (notes / "a.txt").write_text("two!")
    assert FilesDataset(notes, store).documents().recipe.address != address
    with pytest.raises(UsageError, match=r"a\.txt was changed while it was read"):
        store.obtain(need)
    (notes / "sub" / "b.txt").write_text("new")
    assert set(read(notes, store)[0]) == {"a.txt", "sub/b.txt"}


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(notes: Path, store: Store, tmp_path: Path) -> None:
    (notes / "a.txt").write_text("one")
    (tmp_path / "secret.txt").write_text("secret")
    need = FilesDataset(notes, store).documents()
    (notes / "a.txt").unlink()
    (notes / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UsageError, match="was changed"):
        store.obtain(need)


def test_a_folder_that_cannot_be_listed_does_not_lose_the_others(
    notes: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes / "a.txt").write_text("one")
    (notes / "sub" / "b.txt").write_text("two")
    original = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    documents, reading = read(notes, store)
    assert set(documents) == {"a.txt"}
    assert why(reading) == {"sub/": "cannot be read (Permission denied)"}


def test_nothing_to_read_says_why(notes: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="holds nothing; a collection is a folder of files that end in"):
        open_folder(notes, store=store).documents()
    (notes / "a.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"no file that can be read: 1 no reader for \.jpg"):
        open_folder(notes, store=store).documents()
    with pytest.raises(UsageError, match="no encoding"):
        FilesDataset(notes, store, encoding="nonsense")
    with pytest.raises(UsageError, match="no qrels"):
        FilesDataset(notes, store).queries()


def test_hostile_html() -> None:
    for data in (b"<div>" * 100_000 + b"x", b"<!--" * 100_000, b"<a " * 100_000, b"", b"<p>\x80\x81"):
        read_html(data, None)
    entity = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><p>&a;</p>'
    assert "&a;" in read_html(entity, None).text
    assert read_html(b"<div>" * 1000 + b"deep", None).text == "deep"
    assert read_html(b"<p>a\n<p><font>x" * 5000, None).nested_at > 100


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one <b>tw</b>o</p>three<br>four<ul><li>a<li>b</ul>", "one two\n\nthree\nfour\n\na\nb"),
        ("a<script>x</script>b<nav>y</nav>c<style>z</style>", "a b c"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
        ("<p title='x>y <b>'>1 &lt; 2 &amp;amp; &nbsp;3 &gt; 0</p>", "1 < 2 &amp; 3 > 0"),
        ("<x-note>a</x-note><o:p>b</o:p>", "a\n\nb"),
        ("<div>a<span>b</span><div>c</div>d</div>", "ab\n\nc\n\nd"),
    ],
)
def test_what_a_reader_sees_of_a_page(source: str, text: str) -> None:
    assert read_html(source.encode(), None).text == text


def test_large_pages_take_linear_time() -> None:
    for block in (b"<p>x <b>y</b></p>", b"<b>x</b> y ", b"<div>a<script>b</script>c</div>"):
        started = time.thread_time()
        assert len(read_html(block * 100_000, None).text) >= 300_000
        assert time.thread_time() - started < 10


def test_a_page_that_takes_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "SECONDS", 0.0)
    with pytest.raises(NoTextError, match="takes longer than 0 s"):
        read_html(b"<p>x" * 1000, None)


def test_encodings() -> None:
    for text, encoding in (("自転車のタイヤがパンクしました", "shift_jis"), ("Καλημέρα κόσμε, το ποδήλατο", "cp1253")):
        assert decode(text.encode(encoding))[0] == text
        assert decode(text.encode(encoding), encoding) == (text, "")
    assert decode(b"a\r\nb\rc") == ("a\nb\nc", "")
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decode("Ein Reifen, grün und platt".encode(encoding)) == ("Ein Reifen, grün und platt", encoding)
    for data in (b"\0\1\2", bytes(range(128, 256)) * 4 + bytes(range(32))):
        with pytest.raises(NoTextError):
            decode(data)


def test_pdf(notes: Path, store: Store) -> None:
    pypdf = pytest.importorskip("pypdf")
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    for text in ("first page", "second page about tyres"):
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject(f"/{k}"): NameObject(f"/{v}")
                for k, v in (("Type", "Font"), ("Subtype", "Type1"), ("BaseFont", "Helvetica"))
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F"): font})}
        )
        content = DecodedStreamObject()
        content.set_data(f"BT /F 12 Tf 20 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = content
    writer.add_metadata({"/Title": "My  paper"})
    writer.write(notes / "paper.pdf")
    documents, _ = read(notes, store, words=3)
    pages = sorted((d.metadata["page"], d.title, d.text) for d in documents.values())
    assert pages[0] == (1, "My paper", "first page")
    assert {page for page, _, _ in pages} == {1, 2}


def test_single_files(notes: Path, store: Store) -> None:
    (notes / "a.md").write_text("# T\n\nbody")
    (notes / "corpus.jsonl").write_text('{"_id": "x1", "text": "with an id"}\n')
    (notes / "rows.jsonl").write_text('{"text": "without one"}\n')
    assert isinstance(open_folder(notes / "a.md", store=store), FilesDataset)
    assert set(read(notes / "rows.jsonl", store)[0]) == {"rows.jsonl#1"}
    dataset = open_folder(notes / "corpus.jsonl", store=store)
    assert isinstance(dataset, FolderDataset)
    need = dataset.documents()
    assert Corpus.open(store.obtain(need), need).ids([0]) == ["x1"]


def test_a_user_searches_notes_adds_one_and_searches_again(notes: Path, tmp_path: Path) -> None:
    (notes / "bike.txt").write_text("How to mend a flat tyre.")
    (notes / "photo.jpg").write_bytes(b"x")

    def search(*more: str) -> Any:
        arguments = ["--store", str(tmp_path / "store"), "search", "bm25", str(notes), "flat tyre", *more]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    first = search()
    assert "bike.txt" in first.stdout
    assert "1 files were read: 1 .txt" in first.stderr
    assert "1 passed over: 1 no reader for .jpg (photo.jpg)" in first.stderr
    (notes / "car.md").write_text("# Car\n\nA flat \x1b[31mtyre again, flat tyre.")
    assert "\x1b[31m" not in search().stdout
    told = json.loads(search("--json").stdout)
    assert {hit["id"] for hit in told["hits"]} == {"bike.txt", "car.md"}
    assert told["reading"]["read"] == {".md": 1, ".txt": 1}
    assert told["reading"]["passed_over"][0]["first"] == ["photo.jpg"]


def test_looking_through_files_tells_how_far_it_is(notes: Path, tmp_path: Path) -> None:
    class Watched:
        done = 0
        total: int | None = 0

        @hookimpl
        def stage_started(self, stage: Stage) -> None:
            self.total = stage.total

        @hookimpl
        def stage_progress(self, stage: Stage, done: int) -> None:
            self.done += done

    for number in range(5):
        (notes / f"{number}.txt").write_text("x" * 1000)
    context, watched = Context(tmp_path / "store"), Watched()
    context.registry.observe(watched)
    find_dataset(context, str(notes)).documents()
    assert (watched.done, watched.total) == (5000, 5000)


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (["3", "40"], [3, 40]),
        (["1.50", "-2"], [1.5, -2]),
        (["3", ""], [3, ""]),
        (["007", "1"], ["007", "1"]),
        (["3", "many"], ["3", "many"]),
        (["1e5", "2"], ["1e5", "2"]),
        (["٣", "2"], ["٣", "2"]),
        (["1" * 20, "2"], ["1" * 20, "2"]),
    ],
)
def test_a_column_of_numbers_can_be_filtered_by_them(cells: list[str], kept: list[Any]) -> None:
    table = "name,amount\n" + "".join(f"x,{cell}\n" for cell in cells)
    assert [row["amount"] for _, row in read_table(table, ".csv") if not isinstance(row, str)] == kept


def test_a_file_is_passed_over_once(notes: Path, store: Store) -> None:
    (notes / "a.txt").write_text("text")
    (notes / "bad.json").write_text("{")
    _, reading = read(notes, store)
    assert [(one["why"], one["first"]) for one in reading["passed_over"]] == [("no JSON", ["bad.json, row 1"])]

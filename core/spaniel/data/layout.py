"""What the files of a test collection are: documents, queries and judgments, by their names and, for TREC's, beginnings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spaniel.data.files import PACKED, read_head
from spaniel.data.readers.lines import IDS
from spaniel.data.readers.pairs import ending
from spaniel.data.readers.records import TEXTS
from spaniel.data.texts.reading import READERS
from spaniel.errors import UsageError

RECORDS = (".jsonl", ".ndjson", ".parquet", ".csv", ".tsv")
JUDGMENTS = (".tsv", ".csv", ".txt", ".qrels", ".qrel", ".trec", ".jsonl", ".ndjson", ".json", ".parquet")
_TOPICS = (*RECORDS, ".json", ".txt", ".trec", ".topics", ".xml", ".sgml", ".sgm", "")
_MARKED = ("", ".trec", ".sgml", ".sgm", ".xml", ".txt", ".dat", ".trectext")
"""Endings of files that may hold documents in <DOC> tags; one ending more is any of three digits or so, as in fb396.001."""
_FOLDERS = ("corpus", "collection", "documents", "docs")
_IS_QRELS = re.compile(r"qrels?", re.IGNORECASE)
_IS_TOPICS = re.compile(r"(?:^|[._-])(?:topics?|queries)(?:[._-]|\d|$)", re.IGNORECASE)
_LOOKS_LIKE = {
    "judgments": re.compile(r"qrel|judg|relevance", re.IGNORECASE),
    "queries": re.compile(r"(?:^|[._-])(?:topics?|quer(?:y|ies))(?:[._-]|$)", re.IGNORECASE),
}
_SHARD = re.compile(r"corpus[-_.]?[\w.-]*")
_ABOUT = re.compile(r"readme|licen[cs]e|spaniel\.json", re.IGNORECASE)
"""Names of files that tell of a collection."""
_TOPIC = re.compile(r"<(?:top|topics?|num|query|queries)\b", re.IGNORECASE)
_DOC = re.compile(r"<DOC(?:\s[^>]*)?>.*?<DOC(?:NO|ID)\s*>", re.IGNORECASE | re.DOTALL)
_HEAD = 2**14


@dataclass(frozen=True)
class Layout:
    """The files of a collection.

    Attributes:
        documents: file → its format, see :data:`spaniel.data.readers.FORMATS`.
        queries: the same of the queries.
        qrels: split → file.
        unread: name of a file → why it is not read, though it looks like queries or judgments.
    """

    documents: Mapping[Path, str]
    queries: Mapping[Path, str]
    qrels: Mapping[str, Path]
    unread: Mapping[str, str]


def find_layout(path: Path) -> Layout | None:
    """Return what the files in a folder are, or what a file is; ``None`` where there are no documents of a collection.

    What counts is a whole layout, and no name: documents with queries or judgments beside them, or more files of documents
    than ordinary ones. Anything else is a folder of ordinary files.

    Raises:
        UsageError: two files hold the same, so that it would be chance which of them counts.
    """
    if path.is_file():
        format = _format_of_documents(path)
        return Layout({path: format}, {}, {}, {}) if format else None
    top = _files(path)
    records = [file for file in top if _is_corpus(file)]
    documents = {file: ending(file).lstrip(".").replace("ndjson", "jsonl") for file in records}
    if not documents:
        documents = {file: "msmarco" for file in top if stem(file, (".tsv",)) == "collection"}
    if not documents:
        within = [file for name in _FOLDERS if not (path / name).is_symlink() for file in _all_files(path / name)]
        documents = {file: "trec-documents" for file in (*top, *within) if _is_marked(file)}
    if not documents:
        return None
    judgments = _find_judgments(path, [file for file in top if file not in documents])
    beside = [file for file in top if file not in documents and file not in judgments]
    queries = _queries(path, beside)
    others = _count_ordinary(path, {*documents, *queries, *judgments}, len(documents))
    whole = any(map(_holds_judgments, judgments)) or any(_holds_queries(*one) for one in queries.items())
    if not whole and others >= len(documents):
        return None
    _refuse_doubles(path, records, RECORDS)
    _refuse_doubles(path, [file for file in beside if stem(file, RECORDS) == "queries"], RECORDS)
    qrels = _by_split(path, judgments)
    read = {*documents, *queries, *qrels.values()}
    unread = {}
    for file in (*top, *_files(path / "qrels"), *_files(path / "queries"), *_files(path / "topics")):
        name = file.relative_to(path).as_posix()
        what = next((what for what, looks in _LOOKS_LIKE.items() if looks.search(name)), None)
        if what and file not in read:
            unread[name] = f"it looks like {what}, but {_why(file, what, queries)}"
    if others:
        unread["what else is there"] = f'this is a collection; files(path="{path}") searches all files as they are'
    return Layout(documents, queries, qrels, unread)


def _is_corpus(path: Path) -> bool:
    """Return whether a file is called corpus, or is a part of one: ``corpus-1.jsonl``, whose records have ids."""
    name = stem(path, RECORDS)
    if name == "corpus":
        return True
    return bool(_SHARD.fullmatch(name)) and _format_of_documents(path) is not None


def _count_ordinary(path: Path, known: set[Path], enough: int) -> int:
    """Count ordinary files beside those that are known, up to a number; what tells of a collection is none."""
    count = 0
    for file in _all_files(path):
        inner = file.relative_to(path)
        told = bool(_ABOUT.match(file.name)) or inner.parts[0] in ("qrels", "queries", "topics")
        looks = len(inner.parts) == 1 and any(looks.search(file.name) for looks in _LOOKS_LIKE.values())
        count += file not in known and not told and not looks and ending(file) in READERS
        if count >= enough:
            break
    return count


def _holds_queries(path: Path, format: str) -> bool:
    if format != "trec":
        return stem(path, RECORDS) == "queries"
    return bool(_TOPIC.search(read_head(path, _HEAD)))


def _holds_judgments(path: Path) -> bool:
    """Return whether a file is in ``qrels/``, or begins with columns that end in a number, or with names of columns."""
    if path.parent.name == "qrels" or ending(path) in (".parquet", ".json", ".jsonl", ".ndjson"):
        return True
    first = next(filter(None, (line.strip() for line in read_head(path, _HEAD).splitlines())), "")
    columns = re.split(r"[,\s]+", first.lstrip("\ufeff"))
    return 2 < len(columns) < 6 and (
        bool(re.fullmatch(r"-?\d+(?:\.\d+)?", columns[-1])) or bool(re.search("quer|qid", columns[0], re.IGNORECASE))
    )


def has_judgments(path: Path) -> bool:
    """Return whether a folder has queries and judgments in BEIR's layout, whatever else it lacks."""
    return (path / "qrels").is_dir() and any(stem(file, RECORDS) == "queries" for file in _files(path))


def stem(path: Path, endings: tuple[str, ...]) -> str:
    """Return a file's name without its ending and packing, or nothing where it ends otherwise."""
    name = _unpacked(path.name)
    return next((name[: -len(e)] for e in sorted(endings, key=len, reverse=True) if name.lower().endswith(e) and e), "")


def _unpacked(name: str) -> str:
    for packing in PACKED:
        name = name.removesuffix(packing)
    return name


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder; one that cannot be listed has none here, and is named by whoever reads it."""
    try:
        return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]
    except OSError:
        return []


def _all_files(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder; no link to a folder is followed but its own."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (file := Path(place, name)).is_file():
                yield file


def _is_marked(path: Path) -> bool:
    """Return whether a file begins with a document in <DOC> tags."""
    last = Path(_unpacked(path.name)).suffix.lower()
    return (last in _MARKED or last[1:].isdigit()) and bool(_DOC.search(read_head(path, _HEAD)))


def _format_of_documents(path: Path) -> str | None:
    """Return the format of a file of documents; ordinary files, whose records have no ids, have none."""
    if _is_marked(path):
        return "trec-documents"
    last = ending(path)
    if last == ".parquet":
        return "parquet"
    if last not in (*RECORDS, ".json"):
        return None
    first = read_head(path, _HEAD).lstrip("\ufeff \r\n").partition("\n")[0]
    if last in (".csv", ".tsv"):
        names = [name.strip().strip('"') for name in first.split("," if last == ".csv" else "\t")]
        return last[1:] if set(names) & set(IDS) and set(names) & {*TEXTS, "title"} else None
    return "jsonl" if _names_field(first, IDS) and _names_field(first, (*TEXTS, "title")) else None


def _names_field(line: str, names: tuple[str, ...]) -> bool:
    return bool(re.match(r"\{.*?\"(?:" + "|".join(names) + r")\"\s*:", line))


def _find_judgments(path: Path, top: list[Path]) -> list[Path]:
    named = [
        file
        for file in top
        if _IS_QRELS.search(file.name) and ending(file) not in (".md", ".html", ".pdf", ".xlsx", ".zip")
    ]
    inside = _files(path / "qrels")
    return [file for file in inside if stem(file, JUDGMENTS) or not (ending(file) or _ABOUT.match(file.name))] + named


def _by_split(path: Path, judgments: list[Path]) -> dict[str, Path]:
    qrels: dict[str, Path] = {}
    for file in judgments:
        split = _split(file) if file.parent == path else stem(file, JUDGMENTS) or _unpacked(file.name)
        if split in qrels:
            first, second = (one.relative_to(path).as_posix() for one in (qrels[split], file))
            raise UsageError(f"{path} has both {first} and {second}; leave one of them there")
        qrels[split] = file
    return qrels


def _split(path: Path) -> str:
    """Return the split of judgments: what their name says beside ``qrels``; ``test`` where it says nothing."""
    name = stem(path, JUDGMENTS) or _unpacked(path.name)
    return re.sub(r"[._-]{2,}", ".", _IS_QRELS.sub("", name, count=1)).strip("._-") or "test"


def _queries(path: Path, top: list[Path]) -> dict[Path, str]:
    named = [file for file in top if stem(file, RECORDS) == "queries"]
    if not named:
        inside = [*_files(path / "queries"), *_files(path / "topics")]
        named = [file for file in (*top, *inside) if _can_be_topics(file) and (file in inside or _is_topics(file))]
    return {file: _format_of_queries(file) for file in named}


def _can_be_topics(path: Path) -> bool:
    last = ending(path)
    return (
        last in _TOPICS or last[1:].isdigit() or last in (".test", ".train", ".dev") or bool(re.search("[0-9]", last))
    )


def _is_topics(path: Path) -> bool:
    return bool(_IS_TOPICS.search(_unpacked(path.name)))


def _format_of_queries(path: Path) -> str:
    last = ending(path)
    if last in (".jsonl", ".ndjson", ".json"):
        return "jsonl"
    if last in (".parquet", ".csv"):
        return last[1:]
    if last == ".tsv":
        first = read_head(path, _HEAD).lstrip("\ufeff").partition("\n")[0].rstrip("\r")
        # MS MARCO's have no header.
        return "tsv" if set(first.split("\t")) & set(IDS) else "msmarco"
    return "trec"


def _refuse_doubles(folder: Path, files: list[Path], endings: tuple[str, ...]) -> None:
    first: dict[str, Path] = {}
    for file in files:
        known = first.setdefault(stem(file, endings), file)
        if known != file:
            raise UsageError(f"{folder} has both {known.name} and {file.name}; leave one of them there")


def _why(path: Path, what: str, queries: Mapping[Path, str]) -> str:
    if what == "judgments":
        return f"its name ends in none of {', '.join(JUDGMENTS)}, or it is neither in qrels/ nor called qrels"
    if queries:
        return f"the queries are in {', '.join(file.name for file in queries)}"
    return "queries are in queries.jsonl (or .csv, .tsv, .parquet), or in topics of TREC"

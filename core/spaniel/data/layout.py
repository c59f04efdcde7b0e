"""What the files of a test collection are: documents, queries and judgments, by their names and, for TREC's, beginnings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spaniel.data.files import PACKED, read_head
from spaniel.data.readers.lines import IDS
from spaniel.data.readers.pairs import ending
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

    Raises:
        UsageError: two files hold the same, so that it would be chance which of them counts.
    """
    if path.is_file():
        format = _format_of_documents(path)
        return Layout({path: format}, {}, {}, {}) if format else None
    top = _files(path)
    records = [file for file in top if file.name.startswith("corpus") and stem(file, RECORDS)]
    _refuse_doubles(path, records, RECORDS)
    documents = {file: ending(file).lstrip(".").replace("ndjson", "jsonl") for file in records}
    if not documents:
        within = [file for name in _FOLDERS for file in _all_files(path / name)]
        documents = {file: "trec-documents" for file in (*top, *within) if _is_marked(file)}
    if not documents:
        return None
    qrels = _judgments(path, [file for file in top if file not in documents])
    queries = _queries(path, [file for file in top if file not in documents and file not in qrels.values()])
    read = {*documents, *queries, *qrels.values()}
    unread = {}
    for file in (*top, *_files(path / "qrels"), *_files(path / "queries"), *_files(path / "topics")):
        name = file.relative_to(path).as_posix()
        what = next((what for what, looks in _LOOKS_LIKE.items() if looks.search(name)), None)
        if what and file not in read:
            unread[name] = f"it looks like {what}, but {_why(file, what, queries)}"
    return Layout(documents, queries, qrels, unread)


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
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]


def _all_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not folder.is_symlink():
        yield from _files(folder)
        for inner in sorted(folder.iterdir()):
            if not inner.name.startswith("."):
                yield from _all_files(inner)


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
        return last[1:] if set(names) & set(IDS) else None
    if re.match(r"\{.*?\"(?:" + "|".join(IDS) + r")\"\s*:", first):
        return "jsonl"
    return None


def _judgments(path: Path, top: list[Path]) -> dict[str, Path]:
    inside = [file for file in _files(path / "qrels") if stem(file, JUDGMENTS)]
    found = [(stem(file, JUDGMENTS), file) for file in inside]
    for file in top:
        if _IS_QRELS.search(file.name) and ending(file) not in (".md", ".html", ".pdf", ".xlsx", ".zip"):
            found.append((_split(file), file))
    qrels: dict[str, Path] = {}
    for split, file in found:
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
    _refuse_doubles(path, named, RECORDS)
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

"""Streaming readers of documents, queries and judgments: JSONL, CSV, TSV, Parquet, MS MARCO, TREC."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.data.document import Document
from spaniel.data.faults import OnError
from spaniel.data.files import read_lines
from spaniel.data.qrels import Qrels
from spaniel.data.queries import Queries
from spaniel.errors import UsageError

IDS = ("_id", "id", "docid", "docno", "doc_id", "query_id", "qid")
TEXTS = ("text", "contents", "body", "query")
FORMATS = ("jsonl", "csv", "tsv", "parquet", "msmarco", "trec")
_COMPRESSED = (".gz", ".zst", ".zstd")


class Record(NamedTuple):
    """A document or query as it was read."""

    place: str
    id: str
    title: str
    text: str
    metadata: Mapping[str, Any]


class Malformed(Exception):
    """What is wrong with a piece of input; turned into a UsageError with its place."""


def format_of(path: Path) -> str:
    """Return the format that a file's name stands for.

    Raises:
        UsageError: the name stands for none.
    """
    suffixes = [s for s in path.suffixes if s not in _COMPRESSED]
    named = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv",
             ".parquet": "parquet", ".trec": "trec", ".topics": "trec"}  # fmt: skip
    form = named.get(suffixes[-1] if suffixes else "")
    if form is None:
        raise UsageError(f"{path}: what format is it? {', '.join(FORMATS)}")
    return form


def read_records(path: Path, on_error: OnError = "fail", form: str | None = None) -> Iterator[Record]:
    """Yield the records of a file, one at a time.

    Args:
        path: the file; .gz and .zst are read as they are.
        on_error: ``"skip"`` leaves out what is malformed.
        form: one of :data:`FORMATS`; by default what the name stands for.

    Raises:
        UsageError: a record is malformed; the message has file and line.
    """
    form = form or format_of(path)
    readers: dict[str, Callable[[Path], Iterator[tuple[str, Callable[[], Record]]]]] = {
        "jsonl": _jsonl,
        "csv": lambda p: _table(p, ","),
        "tsv": lambda p: _table(p, "\t"),
        "parquet": _parquet,
        "msmarco": _msmarco,
        "trec": _topics,
    }
    if form not in readers:
        raise UsageError(f"{form!r} is no format; there are {', '.join(FORMATS)}")
    for place, read in readers[form](path):
        try:
            record = read()
        except Malformed as error:
            if on_error == "fail":
                raise UsageError(f"{place}: {error}") from None
            continue
        yield record


def read_documents(path: Path, on_error: OnError = "fail", form: str | None = None) -> Iterator[tuple[str, Document]]:
    """Yield documents with their places."""
    for record in read_records(path, on_error, form):
        yield record.place, Document(record.id, record.title, record.text, record.metadata)


def read_queries(path: Path, on_error: OnError = "fail", form: str | None = None) -> Queries:
    """Read queries.

    Raises:
        UsageError: a query is malformed, or its id comes twice.
    """
    records: dict[str, Record] = {}
    for record in read_records(path, on_error, form):
        if record.id in records:
            if on_error == "fail":
                raise UsageError(f"{record.place}: the query id {record.id!r} comes twice")
            continue
        records[record.id] = record
    metadata = [r.metadata for r in records.values()]
    return Queries.from_lists(list(records), [r.text for r in records.values()], metadata if any(metadata) else None)


def read_qrels(path: Path, on_error: OnError = "fail") -> Qrels:
    """Read judgments: three columns with a header (BEIR), or four (TREC, MS MARCO).

    A pair that comes twice with one grade is kept once.

    Raises:
        UsageError: a line has other columns, a grade is no whole number, or a pair has two grades.
    """
    grades: dict[str, dict[str, int]] = {}
    for number, (place, line) in enumerate(read_lines(path)):
        if line is not None and (not line.strip() or (number == 0 and _is_header(line))):
            continue
        try:
            query, document, grade = _judgment(line)
            known = grades.setdefault(query, {})
            if known.get(document, grade) != grade:
                raise Malformed(f"{document!r} has the grades {known[document]} and {grade} for query {query!r}")
            known[document] = grade
        except Malformed as error:
            if on_error == "fail":
                raise UsageError(f"{place}: {error}") from None
    return Qrels(grades)


def _is_header(line: str) -> bool:
    return line.replace("\t", " ").split()[:1] in (["query-id"], ["query_id"], ["qid"], ["query"])


def _judgment(line: str | None) -> tuple[str, str, int]:
    columns = _decoded(line).split()
    if len(columns) not in (3, 4):
        raise Malformed(f"expected query, document and grade (or TREC's four columns), not {len(columns)} columns")
    query, document, grade = (columns[0], columns[-2], columns[-1])
    if not re.fullmatch(r"[+-]?\d{1,9}", grade):
        raise Malformed(f"the grade {grade!r} is no whole number")
    return query, document, int(grade)


def _decoded(line: str | None) -> str:
    if line is None:
        raise Malformed("the bytes are no UTF-8")
    return line


def _jsonl(path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    for place, line in read_lines(path):
        if line is None or line.strip():
            yield place, lambda place=place, line=line: _json_record(place, line)  # type: ignore[misc]


def _json_record(place: str, line: str | None) -> Record:
    try:
        fields = json.loads(_decoded(line))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON ({error})") from None
    if not isinstance(fields, dict):
        raise Malformed(f"expected a JSON object, not {type(fields).__name__}")
    return _record(place, fields)


def _record(place: str, fields: dict[str, Any]) -> Record:
    from spaniel.data.faults import check_id, check_text

    id_field = next((f for f in IDS if f in fields), None)
    text_field = next((f for f in TEXTS if f in fields), None)
    if id_field is None:
        raise Malformed(f"it has no id; one of the fields {', '.join(IDS)} is needed")
    name, title = fields[id_field], fields.get("title")
    text = fields[text_field] if text_field else ""
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    title, text = ("" if value is None else value for value in (title, text))
    problem = check_id(name) or check_text(title) or check_text(text)
    if problem:
        raise Malformed(problem)
    rest = {k: v for k, v in fields.items() if k not in (id_field, text_field, "title", "metadata")}
    metadata = fields.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        rest["metadata"] = metadata
    try:
        problem = check_text(json.dumps({**(metadata if isinstance(metadata, dict) else {}), **rest}, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError) as error:
        problem = f"its further fields have no JSON form ({error})"
    if problem:
        raise Malformed(problem)
    return Record(place, name, title, text, {**(metadata if isinstance(metadata, dict) else {}), **rest})


def _table(path: Path, delimiter: str) -> Iterator[tuple[str, Callable[[], Record]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    bad: set[int] = set()

    def lines() -> Iterator[str]:
        for number, (_, line) in enumerate(read_lines(path), 1):
            if line is None:
                bad.add(number)
            yield ("" if line is None else line) + "\n"

    rows = csv.reader(lines(), delimiter=delimiter)
    header: list[str] | None = None
    last = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(f"{path}:{rows.line_num}: {error}") from None
        first, last = last + 1, rows.line_num
        place = f"{path}:{first}"
        if header is None:
            header = row
        elif row or bad & set(range(first, last + 1)):
            undecodable = bool(bad & set(range(first, last + 1)))
            yield place, lambda p=place, r=row, h=header, u=undecodable: _row_record(p, r, h, u)  # type: ignore[misc]


def _row_record(place: str, row: list[str], header: list[str], undecodable: bool) -> Record:
    if undecodable:
        raise Malformed("the bytes are no UTF-8")
    if len(row) != len(header):
        raise Malformed(f"it has {len(row)} columns, the header {len(header)}")
    return _record(place, dict(zip(header, row, strict=True)))


def _parquet(path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f'{path}: Parquet files need an extra: pip install "spaniel[parquet]"') from None
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(1024):
            for fields in batch.to_pylist():
                number += 1
                yield f"{path}:{number}", lambda n=number, f=fields: _record(f"{path}:{n}", f)  # type: ignore[misc]
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}:{number + 1}: no Parquet file, or a damaged one ({error})") from error


def _msmarco(path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    for place, line in read_lines(path):
        if line is None or line.strip():
            yield place, lambda place=place, line=line: _tab_record(place, line)  # type: ignore[misc]


def _tab_record(place: str, line: str | None) -> Record:
    columns = _decoded(line).split("\t")
    if len(columns) == 2:
        return _record(place, {"_id": columns[0], "text": columns[1]})
    if len(columns) == 4:  # MS MARCO documents: id, URL, title, body
        return _record(place, {"_id": columns[0], "url": columns[1], "title": columns[2], "text": columns[3]})
    raise Malformed(f"expected id and text, or id, URL, title and body, with tabs between, not {len(columns)} columns")


_TAG = re.compile(r"<(num|title|desc|narr)>\s*(?:Number:|Topic:|Description:|Narrative:)?\s*(.*)", re.IGNORECASE)


def _topics(path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    """TREC topics: blocks in <top> tags, or lines of id, tab, text."""
    fields: dict[str, str] = {}
    place, tag, inside = "", "", False
    for here, line in read_lines(path):
        stripped = "" if line is None else line.strip()
        if stripped.lower().startswith("<top>"):
            inside, fields, tag, place = True, {}, "", here
        elif stripped.lower().startswith("</top>"):
            yield place, lambda p=place, f=dict(fields): _topic_record(p, f)  # type: ignore[misc]
            inside = False
        elif inside and line is not None:
            match = _TAG.match(stripped)
            if match:
                tag = match[1].lower()
            text = re.sub(r"</\w+>\s*$", "", match[2] if match else stripped).strip()
            if tag and text:
                fields[tag] = f"{fields.get(tag, '')} {text}".strip()
        elif line is None or stripped:
            yield here, lambda p=here, t=line: _tab_record(p, t)  # type: ignore[misc]
    if inside:
        raise UsageError(f"{place}: the topic has no </top>")


def _topic_record(place: str, fields: dict[str, str]) -> Record:
    if "num" not in fields or "title" not in fields:
        raise Malformed(f"a topic needs <num> and <title>, this has {', '.join(fields) or 'neither'}")
    extra = {name: fields[tag] for tag, name in (("desc", "description"), ("narr", "narrative")) if tag in fields}
    return _record(place, {"_id": fields["num"], "text": fields["title"], **extra})

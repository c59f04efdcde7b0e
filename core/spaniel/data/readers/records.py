"""Documents and queries, whatever the format of their file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.data.document import Document
from spaniel.data.faults import Faults, OnError, as_faults, check_id, check_metadata, check_text
from spaniel.data.files import PACKED
from spaniel.data.queries import Queries
from spaniel.data.readers import trec
from spaniel.data.readers.lines import IDS, Raw, read_jsonl, read_msmarco
from spaniel.data.readers.tables import read_csv, read_parquet, read_tsv
from spaniel.errors import UsageError

TEXTS = ("text", "contents", "body", "query")
"""Fields that can hold the text; the first that is there, and not null, does."""
FORMATS: Mapping[str, Callable[[Path], Iterator[Raw]]] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
    "msmarco": read_msmarco,
    "trec": trec.read_topics,
    "trec-documents": trec.read_documents,
}
_ENDINGS = {
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".trec": "trec",
    ".topics": "trec",
}


class Record(NamedTuple):
    """A document or query as it was read; ``metadata`` holds every further field."""

    place: str
    id: str
    title: str
    text: str
    metadata: Mapping[str, Any]


def format_of(path: Path) -> str:
    """Return the format that a file's name stands for.

    Raises:
        UsageError: the name stands for none.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix not in PACKED]
    found = _ENDINGS.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise UsageError(
            f"{path}: its name ends in none of {', '.join(_ENDINGS)}; say which format: {', '.join(FORMATS)}"
        )
    return found


def read_records(path: Path, on_error: OnError | Faults = "fail", format: str | None = None) -> Iterator[Record]:
    """Yield the records of a file, one at a time.

    Args:
        path: the file; names ending in .gz and .zst are decompressed.
        on_error: ``"skip"`` leaves out what is malformed; a :class:`Faults` counts it too.
        format: one of :data:`FORMATS`; by default what the name stands for. MS MARCO's files, whose names end in .tsv
            but which have no header, need ``"msmarco"``.

    Raises:
        UsageError: the file cannot be read, or a record is malformed; the message has file and line.
    """
    chosen = format or format_of(path)
    if chosen not in FORMATS:
        raise UsageError(f"{chosen!r} is no format; there are {', '.join(FORMATS)}")
    faults = as_faults(on_error)
    for place, fields in FORMATS[chosen](path):
        record = fields if isinstance(fields, str) else _to_record(place, fields)
        if isinstance(record, str):
            faults.report(place, record)
        else:
            yield record


def read_documents(
    path: Path, on_error: OnError | Faults = "fail", format: str | None = None
) -> Iterator[tuple[str, Document]]:
    """Yield documents with their places; see :func:`read_records`."""
    for record in read_records(path, on_error, format):
        yield record.place, Document(record.id, record.title, record.text, record.metadata)


def read_queries(path: Path, on_error: OnError | Faults = "fail", format: str | None = None) -> Queries:
    """Read queries; see :func:`read_records`. A query's title is its text where it has no text.

    Raises:
        UsageError: a query is malformed, or its id comes twice.
    """
    faults = as_faults(on_error)
    records: dict[str, Record] = {}
    for record in read_records(path, faults, format):
        if record.id in records:
            faults.report(record.place, f"the query id {record.id!r} comes twice", duplicate=True)
        else:
            records[record.id] = record
    metadata = [record.metadata for record in records.values()]
    texts = [record.text or record.title for record in records.values()]
    return Queries.from_lists(list(records), texts, metadata if any(metadata) else None)


def _to_record(place: str, fields: dict[str, Any]) -> Record | str:
    """Return the record that fields describe, or what is wrong with them.

    A field that is null is as one that is not there; but a record whose texts are all null has an empty one.
    """
    id_field, text_field = _first(IDS, fields), _first(TEXTS, fields)
    if id_field is None:
        return f"it has no id; one of the fields {', '.join(IDS)} is needed"
    if text_field is None and "title" not in fields:
        return f"it has no text; one of the fields {', '.join(TEXTS)} or title is needed, and may be empty"
    name, title, text = fields.pop(id_field), fields.pop("title", None), fields.pop(text_field or "", None)
    fields = {key: value for key, value in fields.items() if value is not None or key not in (*IDS, *TEXTS)}
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    title, text = ("" if value is None else value for value in (title, text))
    if isinstance(fields.get("metadata"), dict):
        # Fields beside the metadata join it, and win where both have a name.
        fields = fields.pop("metadata") | fields
    elif fields.get("metadata", "") is None:
        del fields["metadata"]
    problem = check_id(name) or check_text(title) or check_text(text) or check_metadata(fields)
    return problem or Record(place, name, title, text, fields)


def _first(names: tuple[str, ...], fields: Mapping[str, Any]) -> str | None:
    """Return the first of some fields that is there and not null, else the first that is there."""
    there = [name for name in names if name in fields]
    return next((name for name in there if fields[name] is not None), there[0] if there else None)

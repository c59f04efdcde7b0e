"""Query, document and number: what judgments and runs hold, whatever the format and the names of their columns."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spaniel.data.files import LONGEST, PACKED, read_lines
from spaniel.data.readers.lines import UNDECODABLE, read_jsonl
from spaniel.data.readers.tables import read_parquet
from spaniel.errors import UsageError

_QUERY = ("query_id", "qid", "q_id", "query", "queryid", "topic", "topic_id")
_DOCUMENT = ("docno", "corpus_id", "doc_id", "document_id", "docid", "did", "pid", "document", "doc")
_NUMBER = ("score", "relevance", "rel", "grade", "label", "qrel", "judgment", "judgement")
_SUBTOPIC = ("subtopic", "subtopic_id", "iteration", "iter", "intent")
_EXPECTED = "expected columns named query_id, doc_id and score (or qid, docno, relevance and their like)"
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")


class Pair(NamedTuple):
    """One judgment or one line of a run; ``number`` as it was written."""

    query: str
    document: str
    number: Any
    subtopic: str = ""


Read = tuple[str, Pair | str]
"""The place of a pair, and the pair or what is wrong with it."""


def ending(path: Path) -> str:
    """Return the last ending of a file's name that is not that of a compression."""
    return next((suffix.lower() for suffix in reversed(path.suffixes) if suffix not in PACKED), "")


def read_pairs(path: Path, of_run: bool = False) -> Iterator[Read]:
    """Yield the pairs of a file: Parquet, JSON and JSONL by the names of their columns, else by columns.

    JSON may be one object of objects, query → document → number, as ranx and pytrec_eval take it, a list of records, or
    records by line. Columns are parted by commas where the name ends in .csv, else by tabs or white space; a header says
    which is which, and without one they are query, document and number, or query, subtopic, document and number; of a run,
    query, document, rank and number.

    Raises:
        UsageError: the file cannot be read, or has a header without what is needed.
    """
    kind = ending(path)
    if kind == ".parquet":
        yield from _named(read_parquet(path))
    elif kind in (".jsonl", ".ndjson"):
        yield from _named(read_jsonl(path))
    elif kind == ".json":
        yield from _json(path)
    else:
        yield from _columns(path, kind == ".csv", of_run)


def as_number(value: Any) -> float | None:
    """Return a number, whole ones as ``int``; ``None`` where it is none, or not finite."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e9:
        return None
    return int(value) if value == int(value) else float(value)


def _named(rows: Iterator[tuple[str, dict[str, Any] | str]]) -> Iterator[Read]:
    for place, fields in rows:
        if isinstance(fields, str):
            yield place, fields
            continue
        names = _positions(list(fields))
        if names is None:
            yield place, f"{_EXPECTED}, not {', '.join(map(str, fields)) or 'nothing'}"
        else:
            yield place, _pair(list(fields.values()), names)


def _json(path: Path) -> Iterator[Read]:
    lines, size = [], 0
    for place, line in read_lines(path):
        if line is None:
            raise UsageError(f"{place}: {UNDECODABLE}")
        size += len(line)
        if size > LONGEST:
            raise UsageError(f"{path}: JSON of more than {LONGEST} characters; write it as JSONL or Parquet")
        lines.append(line)
    try:
        data = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        if "Extra data" not in str(error):
            raise UsageError(f"{path}: no JSON ({error})") from error
        yield from _named(read_jsonl(path))
        return
    if isinstance(data, dict) and all(isinstance(judged, dict) for judged in data.values()):
        for query, judged in data.items():
            for document, number in judged.items():
                yield f"{path}: {query}", Pair(query, document, number)
    else:
        records = data if isinstance(data, list) else [data]
        yield from _named(
            (f"{path}: record {number}", one if isinstance(one, dict) else "expected a JSON object")
            for number, one in enumerate(records, 1)
        )


def _columns(path: Path, comma: bool, of_run: bool) -> Iterator[Read]:
    names: Mapping[str, int] | None = None
    width = 0
    for number, (place, line) in enumerate(read_lines(path)):
        if line is None:
            yield place, UNDECODABLE
            continue
        if not line.strip():
            continue
        columns = split_line(line, comma)
        if isinstance(columns, str):
            yield place, columns
            continue
        if number == 0:
            names, width = _positions(columns), len(columns)
            if names is not None or _is_header(columns):
                continue
        if names is not None:
            fits = len(columns) == width
            yield (
                place,
                _pair(columns, names)
                if fits
                else f"expected {width} columns like the header, not {len(columns)} columns",
            )
        elif len(columns) not in (3, 4):
            expected = "score (or rank and score" if of_run else "grade (or TREC's four columns"
            yield place, f"expected query, document and {expected}), not {len(columns)} columns"
        elif of_run:
            yield place, Pair(columns[0], columns[1], columns[-1])
        else:
            query, *subtopic, document, value = columns
            yield place, Pair(query, document, value, "".join(subtopic))


def split_line(line: str, comma: bool = False) -> list[str] | str:
    """Return the columns of a line, parted by commas, else by tabs or white space; or what is wrong with it."""
    if comma:
        try:
            return [column.strip() for column in next(csv.reader([line], strict=True))]
        except csv.Error as error:
            return f"no CSV ({error})"
    # An id with a blank must not be taken for two columns: three of BEIR's would look like TREC's four.
    parted = [column.strip() for column in line.split("\t")]
    return parted if len(parted) >= 3 else line.split()


def _is_header(columns: Sequence[str]) -> bool:
    """Whether a first line names its first column as a query, and its last one is no number: the usual order."""
    return len(columns) in (3, 4) and _plain(columns[0]) in _QUERY and as_number(columns[-1]) is None


def _plain(name: Any) -> str:
    return str(name).strip().lower().replace("-", "_").replace(" ", "_")


def _positions(names: Sequence[Any]) -> Mapping[str, int] | None:
    """Return the positions of query, document, number, and of the subtopic where there is one; ``None`` for no header."""
    places = {name: at for at, name in reversed(list(enumerate(map(_plain, names))))}
    found = {
        role: next((places[name] for name in known if name in places), None)
        for role, known in (("query", _QUERY), ("document", _DOCUMENT), ("number", _NUMBER), ("subtopic", _SUBTOPIC))
    }
    if None in itertools.islice(found.values(), 3):
        return None
    return {role: at for role, at in found.items() if at is not None}


def _pair(values: Sequence[Any], places: Mapping[str, int]) -> Pair | str:
    query, document = (_id(values[places[role]]) for role in ("query", "document"))
    subtopic = _id(values[places["subtopic"]]) if "subtopic" in places else ""
    return Pair(query, document, values[places["number"]], subtopic)


def _id(value: Any) -> Any:
    """Numbers are ids, too; whatever else a row holds is checked by those who know what an id is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

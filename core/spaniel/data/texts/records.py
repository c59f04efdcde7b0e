"""Rows of tables and records of JSON in ordinary files: whatever their fields are called, each is a text."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from spaniel.data.readers.records import TEXTS

_TITLES = ("title", "name", "subject", "headline")
_DELIMITERS = ",;\t|"
_DEPTH = 100
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")

Row = tuple[int, Mapping[str, Any] | str]
"""The number of a row or line, from 1, and its fields or what is wrong with it."""


def read_table(text: str, ending: str) -> Iterator[Row]:
    """Yield the rows of a table behind its header; it is parted by what its first line has most of: ``, ; | tab``.

    A column of nothing but numbers without leading zeros has numbers; any other has texts.
    """
    rows = list(_read_cells(text, ending))
    fields = [row for _, row in rows if not isinstance(row, str)]
    texts = {
        name for row in fields for name, cell in row.items() if cell.strip() and not _NUMBER.fullmatch(cell.strip())
    }
    for number, row in rows:
        yield number, row if isinstance(row, str) else {k: v if k in texts else _number(v) for k, v in row.items()}


def _number(cell: str) -> int | float | str:
    cell = cell.strip()
    return (float(cell) if "." in cell else int(cell)) if cell else ""


def _read_cells(text: str, ending: str) -> Iterator[tuple[int, dict[str, str] | str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    first = text[: text.find("\n")] if "\n" in text else text
    tabs = ending in (".tsv", ".tab")
    delimiter = "\t" if tabs else max(_DELIMITERS, key=first.count)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=False)
    header: list[str] | None = None
    number = 0
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = _header(row)
                continue
            number += 1
            # A row that is too long keeps what is behind the header's columns.
            names = [*header, *(f"column {place}" for place in range(len(header) + 1, len(row) + 1))]
            yield number, dict(zip(names, row, strict=False))
    except csv.Error as error:
        yield number + 1, f"no table ({error})"


def _header(row: list[str]) -> list[str]:
    """Return different names: a column without one, or with one that is taken, is called by its place."""
    names: list[str] = []
    for place, cell in enumerate(row, 1):
        name = cell.strip()
        names.append(f"column {place}" if not name or name in names else name)
    return names


def read_json(text: str, ending: str) -> Iterator[Row]:
    """Yield the records of JSON: each line of .jsonl, each element of a list, or the one value that a file holds."""
    if ending == ".json":
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            if "\n{" not in text.strip():
                yield 1, "no JSON"
                return
        else:
            records = whole if isinstance(whole, list) else [whole]
            yield from ((number, _fields(record)) for number, record in enumerate(records, 1))
            return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, _fields(json.loads(line))
            except (ValueError, RecursionError):
                yield number, "no JSON"


def _fields(record: Any) -> Mapping[str, Any]:
    return record if isinstance(record, dict) else {"text": record}


def as_text(fields: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return title, text and metadata of a record.

    The title is the field of that name or its like. The text is the field that collections call so; where there is none,
    the values of all fields, one a line. Fields that are plain values or lists of them are metadata too, but the text.
    """
    lower = {name.lower(): name for name in reversed([*fields])}
    title_field = next((lower[t] for t in _TITLES if isinstance(fields.get(lower.get(t, "")), str)), None)
    text_field = next((lower[t] for t in TEXTS if _leaves(fields.get(lower.get(t, "")))), None)
    title = str(fields[title_field]).strip() if title_field else ""
    if text_field:
        text = "\n".join(_leaves(fields[text_field]))
    else:
        text = "\n".join(leaf for name, value in fields.items() if name != title_field for leaf in _leaves(value))
    kept = {name: value for name, value in fields.items() if name not in (title_field, text_field) and _is_plain(value)}
    return title, text, kept


def _leaves(value: Any, depth: int = 0) -> list[str]:
    """Return the texts and numbers of a value, however it is nested."""
    if value is None or isinstance(value, bool) or depth > _DEPTH:
        return []
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner, depth + 1)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner, depth + 1)]
    text = str(value).strip()
    return [text] if text else []


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(one) and not isinstance(one, list) for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool | int)

"""Tables of candidates: a row a candidate."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spaniel import UsageError
from spaniel.data.files import PACKED, read_lines

Row = dict[str, Any]


def read_table(path: Path) -> list[Row]:
    """Read a table: .csv and .tsv with a head, or .jsonl, plain or compressed.

    Raises:
        UsageError: the file has another ending, or a line that is none; the message names the place.
    """
    ending = next((suffix for suffix in reversed(path.suffixes) if suffix not in PACKED), "")
    lines = []
    for place, line in read_lines(path):
        if line is None:
            raise UsageError(f"{place}: the line is no UTF-8")
        lines.append((place, line))
    if ending in (".jsonl", ".ndjson"):
        return [_object(place, line) for place, line in lines if line.strip()]
    if ending not in (".csv", ".tsv"):
        raise UsageError(f"{path}: a table ends in .csv, .tsv or .jsonl (also .gz)")
    reader = csv.DictReader((line for _, line in lines), delimiter="\t" if ending == ".tsv" else ",", strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise UsageError(f"{path}: row {number} has another number of cells than the head")
    return rows


def column(rows: Sequence[Row], name: str, path: Path, numbers: bool = True) -> list[float]:
    """Return a column; ``-name`` turns the signs.

    Raises:
        UsageError: it is not there, or holds what is no number.
    """
    if not rows:
        raise UsageError(f"{path}: the table has no rows")
    less, bare = name.startswith("-") and name not in rows[0], name.removeprefix("-")
    key = bare if less else name
    made = []
    for number, row in enumerate(rows, 1):
        if key not in row:
            raise UsageError(f"{path}: candidate {number} has no {key!r}; it has {', '.join(map(str, row))}")
        if not numbers:
            made.append(0.0)
            continue
        try:
            value = float(row[key])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{path}: {key!r} of candidate {number} is no finite number: {row[key]!r}")
        made.append(-value if less else value)
    return made


def _object(place: str, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place}: no JSON: {error}") from error
    if not isinstance(row, dict):
        raise UsageError(f"{place}: a row is a mapping, column → value")
    return row

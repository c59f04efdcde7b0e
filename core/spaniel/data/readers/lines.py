"""Formats of one record a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaniel.data.files import read_lines

Raw = tuple[str, dict[str, Any] | str]
"""The place of a record, and its fields or what is wrong with it."""
IDS = ("_id", "id", "docid", "docno", "doc_id", "query_id", "qid")
"""Fields that can hold the id of a record; the first that is there, and not null, does."""
UNDECODABLE = "the bytes are no UTF-8"


def read_jsonl(path: Path) -> Iterator[Raw]:
    """One JSON object a line; blank lines are passed over."""
    for place, line in read_lines(path):
        if line is None:
            yield place, UNDECODABLE
        elif line.strip():
            yield place, _json_object(line)


def _json_object(line: str) -> dict[str, Any] | str:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"no JSON ({error})"
    return fields if isinstance(fields, dict) else f"expected a JSON object, not {type(fields).__name__}"


def read_msmarco(path: Path) -> Iterator[Raw]:
    """MS MARCO: id and text, or id, URL, title and body, with tabs between and no header."""
    for place, line in read_lines(path):
        if line is None:
            yield place, UNDECODABLE
        elif line.strip():
            columns = line.split("\t")
            if len(columns) == 2:
                yield place, {"_id": columns[0], "text": columns[1]}
            elif len(columns) == 4:
                yield place, dict(zip(("_id", "url", "title", "text"), columns, strict=True))
            else:
                yield place, f"expected id and text, or id, URL, title and body, not {len(columns)} columns"

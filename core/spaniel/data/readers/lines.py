"""Formats of one record a line, and TREC topics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaniel.data.files import read_lines

Raw = tuple[str, dict[str, Any] | str]
"""The place of a record, and its fields or what is wrong with it."""
IDS = ("_id", "id", "docid", "docno", "doc_id", "query_id", "qid")
"""Fields that can hold the id of a record; the first that is there does."""
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


_TAG = re.compile(r"<(/?)(top|num|title|desc|narr)>", re.IGNORECASE)
_LABEL = re.compile(r"\s*(?:Number|Topic|Description|Narrative)\s*:", re.IGNORECASE)
_NAMES = {"num": "_id", "title": "text", "desc": "description", "narr": "narrative"}


def read_topics(path: Path) -> Iterator[Raw]:
    """TREC topics: blocks in <top> tags, or lines of id, tab and text."""
    block: list[str] | None = None
    begin, undecodable = "", False
    for place, line in read_lines(path):
        if line is None:
            if block is None:
                yield place, UNDECODABLE
            undecodable = True
            continue
        if block is None and "<top>" in line.lower():
            block, begin, undecodable = [], place, False
        if block is not None:
            block.append(line)
            if "</top>" in line.lower():
                yield begin, f"{UNDECODABLE} in this topic" if undecodable else _topic("\n".join(block))
                block = None
        elif line.strip():
            name, tab, text = line.partition("\t")
            yield place, {"_id": name, "text": text} if tab else "expected id, tab and text, or a topic in <top> tags"
    if block is not None:
        yield begin, "the topic has no </top>"


def _topic(text: str) -> dict[str, Any] | str:
    parts = _TAG.split(text)
    fields: dict[str, Any] = {}
    for closing, tag, content in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if not closing and tag.lower() in _NAMES:
            fields[_NAMES[tag.lower()]] = " ".join(_LABEL.sub("", content, count=1).split())
    missing = [tag for tag in ("num", "title") if _NAMES[tag] not in fields]
    return f"a topic needs <num> and <title>; there is no <{missing[0]}>" if missing else fields

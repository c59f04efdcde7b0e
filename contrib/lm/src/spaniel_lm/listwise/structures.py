"""Orders in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_TRIES = 50
_DEPTH = 6
_NUMBER = re.compile(r"\d+")
_IDS = re.compile(r"id$|^id|ident|passage|doc|index|number|candidate|text|item", re.IGNORECASE)
_RANKS = re.compile(r"rank|place|position|order", re.IGNORECASE)
_SCORES = re.compile(r"score|relevan|grade|rating", re.IGNORECASE)
_TOLD = re.compile(
    "|".join(one.pattern for one in (_IDS, _RANKS, _SCORES)) + "|count|total|query|tokens", re.IGNORECASE
)
_NAMES = re.compile(r"order|rank|permut|sort|result|answer|list|passages|documents|ids|output|final", re.IGNORECASE)
SCHEMA_NAME = "order"


def schema(count: int) -> dict[str, Any]:
    """Return the JSON schema of an order of so many candidates; doubled ones, which it cannot forbid, are repaired."""
    numbers = {"type": "integer", "enum": list(range(1, count + 1))}
    return {
        "type": "object",
        "properties": {SCHEMA_NAME: {"type": "array", "items": numbers, "minItems": count, "maxItems": count}},
        "required": [SCHEMA_NAME],
        "additionalProperties": False,
    }


def find(text: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield ``(start, end, candidates)`` of the objects, and lists of objects, in a text that state an order."""
    decoder, at, tries = json.JSONDecoder(), 0, 0
    left: list[tuple[int, int, Any]] = []
    begins = re.compile(r"\{|\[\s*\{")
    while tries < _TRIES and (found := begins.search(text, at)):
        tries += 1
        try:
            value, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at = found.start() + 1
            continue
        ids = _order(value, 0)
        if ids:
            yield found.start(), end, ids
        else:
            left.append((found.start(), end, value))
        at = end
    if len(left) > 1 and all(isinstance(value, dict) for *_, value in left):  # a line each
        ids = _records([value for *_, value in left])
        if ids:
            yield left[0][0], left[-1][1], ids


def _order(value: Any, depth: int) -> tuple[int, ...]:
    if depth > _DEPTH:
        return ()
    if isinstance(value, list):
        if value and all(isinstance(one, dict) for one in value):
            return _records(value)
        return tuple(number for one in value for number in _ids(one))
    if isinstance(value, str) and _NUMBER.search(value):
        from spaniel_lm.listwise.reading import find_order

        return find_order(value, 10**9) if "{" not in value else ()
    if not isinstance(value, dict):
        return ()
    if len(value) > 1 and all(_is_id(key) for key in value):
        return _keyed(value)
    if len(value) > 1 and all(type(one) is int for one in value.values()) and not any(map(_TOLD.search, value)):
        return tuple(number for one in value.values() for number in _ids(one))  # {"first": 3, "second": 1}
    for key in sorted(value, key=lambda key: not _NAMES.search(str(key))):
        if isinstance(value[key], list | dict | str) and (ids := _order(value[key], depth + 1)):
            return ids
    return ()


def _is_id(key: str) -> bool:
    return bool(re.fullmatch(r"\W*(?:[a-z]+[\W_]*)?\d+\W*", key, re.IGNORECASE))


def _keyed(value: Mapping[str, Any]) -> tuple[int, ...]:
    """Read ``{"1": 3, "2": 1}`` as places and candidates, and ``{"1": 0.2, "2": 0.9}`` as candidates and scores."""
    keys = [int(_NUMBER.findall(key)[-1][:9]) for key in value]
    ids = [_ids(one) for one in value.values()]
    if all(len(one) == 1 for one in ids):
        chosen = [one[0] for one in ids]
        if sorted(keys) == list(range(1, len(keys) + 1)) and (
            sorted(chosen) == sorted(keys) or any(isinstance(one, str) for one in value.values())
        ):
            return tuple(one for _, one in sorted(zip(keys, chosen, strict=True)))
    if all(_is_number(one) for one in value.values()):
        return tuple(key for key, _ in sorted(zip(keys, value.values(), strict=True), key=lambda pair: -pair[1]))
    return ()


def _records(value: list[dict[str, Any]]) -> tuple[int, ...]:
    """Read ``[{"id": 2, "rank": 1}, …]``: by rank, else by score, else as they stand."""
    if all(len(record) == 1 and all(map(_is_id, record)) for record in value):
        return _keyed({key: one for record in value for key, one in record.items()})
    made: list[tuple[tuple[int, ...], Any, Any]] = []
    for record in value:
        rank = next((one for key, one in record.items() if _RANKS.search(key) and _is_number(one)), None)
        score = next((one for key, one in record.items() if _SCORES.search(key) and _is_number(one)), None)
        keys = sorted((key for key in record if not _RANKS.search(key) and _IDS.search(key)), key=_doubt)
        known = [ids for key in keys if (ids := _ids(record[key]))]
        if not known:
            return ()
        made.append((known[0], rank, score))
    if all(rank is not None for _, rank, _ in made):
        made.sort(key=lambda one: one[1])
    elif all(score is not None for _, _, score in made):
        made.sort(key=lambda one: -one[2])
    return tuple(number for ids, *_ in made for number in ids)


def _doubt(key: str) -> bool:
    """Whether a key is not surely that of an identifier."""
    return not re.search(r"id$|^id|ident", key, re.IGNORECASE)


def _ids(value: Any) -> tuple[int, ...]:
    if type(value) is int or (type(value) is float and value.is_integer()):
        return (int(value),) if abs(value) < 10**9 else (10**9,)
    if isinstance(value, str) and len(value) < 100 and len(found := _NUMBER.findall(value)) == 1:
        return (int(found[0][:9]),)
    if isinstance(value, list):
        return tuple(number for one in value if not isinstance(one, list) for number in _ids(one))
    return ()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value == value and abs(value) < 10**300

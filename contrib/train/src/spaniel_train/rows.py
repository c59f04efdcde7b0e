"""Training rows: a query, what answers it, what does not, and what a teacher thinks of either."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaniel import UsageError
from spaniel.data.readers.lines import read_jsonl
from spaniel_neural.content import content_keys

_TEXTS = ("query", "instruction", "task", "domain")
_LISTS = ("positives", "negatives")
_FIELDS = {*_TEXTS, *_LISTS, "scores", "weights", "provenance"}


@dataclass(frozen=True)
class Row:
    """A training row.

    Attributes:
        query: its text; empty in a row for language models alone.
        positives: texts that answer it, at least one.
        negatives: texts that do not.
        scores: teacher scores by :func:`score_key`, so that they hold for a text wherever it stands, also in another row.
        instruction: put before the query, as it is.
        task, domain: what the row belongs to, for batches of one task or domain.
        provenance: where it comes from; JSON.
        weights: token → what it counts in the loss of a language model, 1 where none is given.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    instruction: str = ""
    task: str = ""
    domain: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in a file; what is empty is left out."""
        fields: dict[str, Any] = {"query": self.query, "positives": list(self.positives)}
        for name in ("negatives", "scores", "instruction", "task", "domain", "weights", "provenance"):
            value = getattr(self, name)
            if value:
                fields[name] = list(value) if name == "negatives" else dict(value) if name in _MAPPINGS else value
        return fields


_MAPPINGS = ("scores", "weights", "provenance")


def score_key(query: str, text: str) -> str:
    """Return the digest of a query and a text, under which a teacher's score stands."""
    return score_keys(query, [text])[0]


def score_keys(query: str, texts: Sequence[str]) -> list[str]:
    """Return the digest of a query with each of some texts."""
    return [key.decode() for key in content_keys([(query, text) for text in texts]).tolist()]


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the training rows of a file, one JSON object a line; names ending in .gz and .zst are decompressed.

    Raises:
        UsageError: the file cannot be read, or a row is malformed; the message has file and line.
    """
    for place, fields in read_jsonl(path):
        made = fields if isinstance(fields, str) else parse_row(fields)
        if isinstance(made, str):
            raise UsageError(f"{place}: {made}")
        yield made


def parse_row(fields: Mapping[str, Any]) -> Row | str:
    """Return the row that fields describe, or what is wrong with them."""
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        return f"a training row has no field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}"
    for name in _TEXTS:
        if not isinstance(fields.get(name, ""), str):
            return f"{name} must be a text"
    for name in _LISTS:
        texts = fields.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return f"{name} must be a list of texts"
    if "query" not in fields or not fields.get("positives"):
        return "a training row needs a query, empty for language models, and at least one positive"
    scores = fields.get("scores", {})
    if not isinstance(scores, dict) or not all(_is_number(score) for score in scores.values()):
        return "scores must be a mapping of digests to finite numbers"
    weights = fields.get("weights", {})
    if not isinstance(weights, dict) or not all(_is_number(weight) and weight >= 0 for weight in weights.values()):
        return "weights must be a mapping of tokens to finite numbers, none below 0"
    if not isinstance(fields.get("provenance", {}), dict):
        return "provenance must be a mapping"
    return Row(
        fields["query"],
        tuple(fields["positives"]),
        tuple(fields.get("negatives", ())),
        {key: float(score) for key, score in scores.items()},
        fields.get("instruction", ""),
        fields.get("task", ""),
        fields.get("domain", ""),
        fields.get("provenance", {}),
        {token: float(weight) for token, weight in weights.items()},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def to_lines(rows: Iterable[Row]) -> str:
    """Return rows as the lines of a file."""
    return "".join(json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)

"""What an explanation is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from spaniel.errors import UsageError

Side = Literal["", "query", "document"]
"""The text that a part stands in, where it stands in one."""
Spot = tuple[Side, int, int]
"""A text, a first character in it, and the one behind the last."""


@dataclass(frozen=True)
class Contribution:
    """A part of a score.

    Attributes:
        label: the term, token, stage … that contributes.
        score: how much, in units of the explained score, or of the part that it is a part of.
        kind: what the label is: ``"term"``, ``"token"``, ``"passage"``, ``"match"``, ``"stage"``, ``"head"``,
            ``"channel"``, ``"feature"``, ``"baseline"``, or a word of the explainer's own.
        children: parts of this part. Those that do not add up to it are of a score of their own, as ``note`` says: a fused
            system's score beneath what the system adds.
        note: how the score came about, for readers.
        side: the text that it stands in.
        span: its first character in that text, and the one behind its last.
        places: where else it acts, in either text: a term of an index stands in the query and, several times, in the
            document. What it adds is shared equally by its places in a text.

    Raises:
        UsageError: there is no such side, or a span is none, or stands in no text.
    """

    label: str
    score: float
    kind: str = "term"
    children: tuple[Contribution, ...] = ()
    note: str = ""
    side: Side = ""
    span: tuple[int, int] | None = None
    places: tuple[Spot, ...] = ()

    def __post_init__(self) -> None:
        if self.side not in get_args(Side):
            raise UsageError(f"{self.label!r} stands in {self.side!r}; a part stands in the query or the document")
        if self.span is not None and not (self.side and 0 <= self.span[0] <= self.span[1]):
            raise UsageError(f"{self.label!r} has the span {self.span}, which is none of a text")
        for side, start, end in self.places:
            if side not in ("query", "document") or not 0 <= start <= end:
                raise UsageError(f"{self.label!r} acts at {(side, start, end)}, which is no place of a text")

    def spots(self, side: str) -> tuple[tuple[int, int], ...]:
        """Return the spans of one text in which it stands or acts."""
        own = (self.span,) if self.span is not None and self.side == side else ()
        return own or tuple((start, end) for where, start, end in self.places if where == side)

    @property
    def share(self) -> float:
        """What the scores of the children are multiplied by to be shares of this part; 1 where they add up to it."""
        total = sum(child.score for child in self.children)
        if abs(total - self.score) <= 1e-5 * max(1e-3, abs(self.score)):
            return 1.0
        size = sum(abs(child.score) for child in self.children)
        return abs(self.score) / size if size else 0.0

    def without_places(self, side: Side) -> Contribution:
        """Return the part and its own without places in a text: they are those of another text than the one shown."""
        children = tuple(child.without_places(side) for child in self.children)
        places = tuple(place for place in self.places if place[0] != side)
        made = replace(self, children=children, places=places)
        return replace(made, side="", span=None) if self.side == side else made

    def sorted(self) -> tuple[Contribution, ...]:
        """Return its parts, the largest in size first."""
        return by_size(self.children)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; what is empty is left out."""
        made: dict[str, Any] = {"label": self.label, "score": self.score, "kind": self.kind}
        if self.children:
            made["children"] = [child.to_json() for child in self.children]
        if self.note:
            made["note"] = self.note
        if self.side:
            made["side"] = self.side
        if self.span is not None:
            made["span"] = list(self.span)
        if self.places:
            made["places"] = [list(spot) for spot in self.places]
        return made

    @classmethod
    def from_json(cls, data: Any) -> Contribution:
        """Return what :meth:`to_json` made data of.

        Raises:
            UsageError: it is something else.
        """
        read = Reader(data, "a contribution")
        span = read.items("span", float)
        if len(span) not in (0, 2):
            raise UsageError(f"a contribution in JSON has the span {span}; it is two numbers")
        return cls(
            read.text("label"),
            read.number("score"),
            read.text("kind"),
            tuple(cls.from_json(child) for child in read.items("children", dict)),
            read.text("note", ""),
            read.text("side", ""),  # type: ignore[arg-type]
            (int(span[0]), int(span[1])) if span else None,
            tuple(_spot(spot) for spot in read.items("places", list)),
        )


def _spot(data: list[Any]) -> Spot:
    if len(data) != 3 or not isinstance(data[0], str) or not all(type(number) is int for number in data[1:]):
        raise UsageError(f"a contribution in JSON acts at {data}; a place is a side and two numbers")
    return (data[0], data[1], data[2])  # type: ignore[return-value]


@dataclass(frozen=True)
class Place:
    """Where a document stood behind a stage of a pipeline.

    Attributes:
        stage: the stage, as its expression prints.
        rank: from 1; 0 where the list does not hold the document.
        documents: length of the list.
        score: the document's score in the list; 0 where it is not in it.
        note: what the stage did instead, where it gives no list: the query that it made of another.
    """

    stage: str
    rank: int
    documents: int
    score: float
    note: str = ""

    @property
    def words(self) -> str:
        """The place for readers."""
        if self.note:
            return self.note
        return f"rank {self.rank} of {self.documents}, score {self.score:.4f}" if self.rank else "not in the list"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        made = {"stage": self.stage, "rank": self.rank, "documents": self.documents, "score": self.score}
        return made | ({"note": self.note} if self.note else {})

    @classmethod
    def from_json(cls, data: Any) -> Place:
        """Return what :meth:`to_json` made data of.

        Raises:
            UsageError: it is something else.
        """
        read = Reader(data, "a place")
        numbers = int(read.number("rank")), int(read.number("documents")), read.number("score")
        return cls(read.text("stage"), *numbers, read.text("note", ""))


class Reader:
    """Reads fields of JSON that came from elsewhere, each of the type that it must have.

    Raises:
        UsageError: the data is no mapping; or, in reading, a field is missing or of another type.
    """

    def __init__(self, data: Any, what: str) -> None:
        if not isinstance(data, Mapping):
            raise UsageError(f"{what} in JSON is a mapping, not {type(data).__name__}")
        self.data, self.what = data, what

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text."""
        return str(self._field(name, str, default))

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number."""
        return float(self._field(name, float, default))

    def items(self, name: str, kind: type) -> list[Any]:
        """Return a list of texts, numbers or mappings; an empty one where there is none."""
        found: list[Any] = self._field(name, list, [])
        for item in found:
            self._check(name, item, kind)
        return found

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a mapping; an empty one where there is none."""
        return dict(self._field(name, dict, {}))

    def _field(self, name: str, kind: type, default: Any) -> Any:
        if name not in self.data and default is not None:
            return default
        if name not in self.data:
            raise UsageError(f"{self.what} in JSON has no {name!r}")
        self._check(name, self.data[name], kind)
        return self.data[name]

    def _check(self, name: str, value: Any, kind: type) -> None:
        allowed = (int, float) if kind is float else (kind,)
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise UsageError(f"{name!r} of {self.what} in JSON is {value!r}, which is no {kind.__name__}")


def by_size(parts: tuple[Contribution, ...]) -> tuple[Contribution, ...]:
    """Return parts, the largest in size first."""
    return tuple(sorted(parts, key=lambda part: -abs(part.score)))

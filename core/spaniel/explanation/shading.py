"""Which places of a text contribute how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from spaniel.explanation.contribution import Contribution


class Mark(NamedTuple):
    """What a part adds at a place of a text.

    Attributes:
        label: of the part, behind that of the fused system that it is a part of.
        score: as a share of the explained score.
        start: its first character.
        end: the one behind its last.
    """

    label: str
    score: float
    start: int
    end: int


class Segment(NamedTuple):
    """A piece of a text.

    Attributes:
        text: the piece.
        score: the sum of the parts that stand on it, ``None`` where none does.
        names: their labels, each once.
    """

    text: str
    score: float | None
    names: tuple[str, ...] = ()


def segments(text: str, parts: Iterable[Contribution], side: str) -> list[Segment]:
    """Cut a text where the parts on one side begin and end; the pieces, joined, are the text.

    Where a part stands in the text its children are passed over, since it is their sum. Spans that go past the end are
    cut there.
    """
    standing = [mark for mark in placed(parts, side) if mark.start < len(text)]
    cuts = sorted({0, len(text), *(min(end, len(text)) for mark in standing for end in (mark.start, mark.end))})
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for number, mark in enumerate(standing):
        starts.setdefault(mark.start, []).append(number)
        ends.setdefault(min(mark.end, len(text)), []).append(number)
    made, active = [], dict[int, None]()
    for first, last in pairwise(cuts):
        for number in starts.get(first, ()):
            active[number] = None
        for number in ends.get(first, ()):
            active.pop(number, None)
        here = [standing[number] for number in active]
        score = sum(mark.score for mark in here) if here else None
        made.append(Segment(text[first:last], score, tuple(dict.fromkeys(mark.label for mark in here))))
    return made


def strongest(pieces: Iterable[Segment]) -> float:
    """Return the largest size of a score, 1 where all are 0."""
    return max((abs(piece.score) for piece in pieces if piece.score), default=0.0) or 1.0


def placed(parts: Iterable[Contribution], side: str, factor: float = 1.0, system: str = "") -> Iterator[Mark]:
    """Yield what parts add at the places of one side; where one has any there, its children are passed over.

    Children of a score of their own count by what their part adds, in proportion, so that the marks of a fusion's systems
    compare.

    Args:
        parts: of an explanation.
        side: ``"query"`` or ``"document"``.
        factor: what their scores are multiplied by.
        system: the fused system whose score they are parts of.
    """
    for part in parts:
        spots = part.spots(side)
        for start, end in spots:
            label = f"{system}: {part.label}" if system else part.label
            yield Mark(label, factor * part.score / len(spots), start, end)
        if not spots:
            inside = part.label if part.kind == "stage" else system
            yield from placed(part.children, side, factor * part.share, inside)

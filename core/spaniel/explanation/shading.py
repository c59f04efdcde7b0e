"""Which places of a text contribute how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from spaniel.explanation.contribution import Contribution


class Segment(NamedTuple):
    """A piece of a text.

    Attributes:
        text: the piece.
        score: the sum of the parts that stand on it, ``None`` where none does.
        names: their labels.
    """

    text: str
    score: float | None
    names: tuple[str, ...] = ()


def segments(text: str, parts: Iterable[Contribution], side: str) -> list[Segment]:
    """Cut a text where the parts on one side begin and end; the pieces, joined, are the text.

    Where a part stands in the text its children are passed over, since it is their sum. Spans that go past the end are
    cut there.
    """
    standing = [part for part in placed(parts, side) if part.span is not None and part.span[0] < len(text)]
    cuts = sorted({0, len(text), *(min(end, len(text)) for part in standing for end in part.span or ())})
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for number, part in enumerate(standing):
        first, last = part.span or (0, 0)
        starts.setdefault(first, []).append(number)
        ends.setdefault(min(last, len(text)), []).append(number)
    made, active = [], dict[int, None]()
    for first, last in pairwise(cuts):
        for number in starts.get(first, ()):
            active[number] = None
        for number in ends.get(first, ()):
            active.pop(number, None)
        here = [standing[number] for number in active]
        score = sum(part.score for part in here) if here else None
        made.append(Segment(text[first:last], score, tuple(part.label for part in here)))
    return made


def strongest(pieces: Iterable[Segment]) -> float:
    """Return the largest size of a score, 1 where all are 0."""
    return max((abs(piece.score) for piece in pieces if piece.score), default=0.0) or 1.0


def placed(parts: Iterable[Contribution], side: str) -> Iterator[Contribution]:
    """Yield the parts that stand on one side; where one does, its children are passed over."""
    for part in parts:
        if part.side == side and part.span is not None:
            yield part
        else:
            yield from placed(part.children, side)

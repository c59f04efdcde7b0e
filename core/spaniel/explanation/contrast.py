"""Why this document and not that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any, NamedTuple

from spaniel.errors import UsageError
from spaniel.explanation.contribution import Contribution, Reader
from spaniel.explanation.explanation import Explanation, save

Key = tuple[Any, ...]


class Difference(NamedTuple):
    """What a part is in either of two explanations.

    Attributes:
        part: the difference, as a part of the difference of the scores.
        first: its score in the first; 0 where that lacks it.
        second: its score in the second.
        inner: the differences of its children, the largest in size first.
        places: where it stands in the two documents: ``("first", 3, 7)``.
    """

    part: Contribution
    first: float
    second: float
    inner: tuple[Difference, ...] = ()
    places: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Contrast:
    """Two explanations of one query, put against each other.

    Attributes:
        first: why this document.
        second: and not that one.

    Raises:
        UsageError: they explain other targets, other queries or other things, or by other explainers.
    """

    first: Explanation
    second: Explanation

    def __post_init__(self) -> None:
        for what in ("target", "explainer", "query", "unit"):
            one, other = getattr(self.first, what), getattr(self.second, what)
            if one != other:
                raise UsageError(f"explanations with the {what} {one!r} and {other!r} are no contrast")

    @cached_property
    def rows(self) -> tuple[Difference, ...]:
        """The differences, the largest in size first, each with what it is in the first and in the second."""
        return _differences(self.first.contributions, self.second.contributions)

    @property
    def title(self) -> str:
        """What the contrast is of, in a line."""
        first, second = self.first, self.second
        under = first.pipeline or first.target
        return f"Why {first.document_id} and not {second.document_id} for “{first.query}” under {under}"

    @cached_property
    def difference(self) -> Explanation:
        """The difference of the scores, explained by the differences of the parts."""
        first, second = self.first, self.second
        return Explanation(
            first.target,
            first.explainer,
            first.query,
            f"{first.document_id} − {second.document_id}",
            first.score - second.score,
            tuple(row.part for row in self.rows),
            first.remainder - second.remainder,
            first.parameters,
            unit=first.unit,
            pipeline=first.pipeline,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "difference": self.difference.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> Contrast:
        """Return what :meth:`to_json` made data of.

        Raises:
            UsageError: it is something else.
        """
        read = Reader(data, "a contrast")
        return cls(Explanation.from_json(read.mapping("first")), Explanation.from_json(read.mapping("second")))

    def to_text(self, width: int = 28, parts: int = 20, colour: bool = False, columns: int = 100) -> str:
        """Return a table of the differences for a terminal; see :meth:`Explanation.to_text`."""
        from spaniel.explanation.terminal import print_contrast

        return print_contrast(self, width, parts, colour, columns)

    def to_html(self) -> str:
        """Return a fragment of HTML: the differences, and both texts side by side."""
        from spaniel.explanation.page import contrast_figure

        return contrast_figure(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_png(self, path: str | PathLike[str], parts: int = 20) -> None:
        """Draw the largest differences as pairs of bars, those of their children beneath them.

        Raises:
            UsageError: matplotlib is not installed.
        """
        from spaniel.explanation.plot import draw_contrast

        draw_contrast(self, path, parts)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the contrast; see :meth:`Explanation.save`.

        Raises:
            UsageError: another ending.
        """
        save(self, path)


def _differences(first: Sequence[Contribution], second: Sequence[Contribution]) -> tuple[Difference, ...]:
    mine, theirs = _grouped(first), _grouped(second)
    made = []
    for key in dict.fromkeys([*mine, *theirs]):
        ours, others = mine.get(key, []), theirs.get(key, [])
        here, there = sum(part.score for part in ours), sum(part.score for part in others)
        inner = _differences([c for p in ours for c in p.children], [c for p in others for c in p.children])
        like = (ours or others)[0]
        # What stands in two documents has no one place.
        part = replace(
            like,
            score=here - there,
            children=tuple(row.part for row in inner),
            note=f"{here:.4f} − {there:.4f}",
            span=None if like.side == "document" else like.span,
            places=tuple(spot for spot in like.places if spot[0] != "document"),
        )
        places = tuple(
            (name, start, end)
            for name, parts in (("first", ours), ("second", others))
            for held in parts
            for start, end in held.spots("document")
        )
        made.append(Difference(part, here, there, inner, places))
    return tuple(sorted(made, key=lambda row: -abs(row.part.score)))


def _grouped(parts: Sequence[Contribution]) -> dict[Key, list[Contribution]]:
    """Return parts by what makes two of them the same: words of documents by their letters, others by their place."""
    found: dict[Key, list[Contribution]] = {}
    for part in parts:
        place = None if part.side == "document" else part.span
        found.setdefault((part.kind, part.side, place, part.label.casefold()), []).append(part)
    return found

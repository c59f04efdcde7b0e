"""An explanation of one score."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from spaniel.errors import UsageError
from spaniel.explanation.contribution import Contribution, Place, Reader, by_size

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Explanation:
    """Why a document got its score for a query.

    Attributes:
        target: what was explained, as its expression prints.
        explainer: the component that explained it.
        query: text of the query.
        document_id: id of the document.
        score: the score that was explained.
        contributions: its parts.
        remainder: what the parts leave unexplained; ``score`` is the sum of the parts and the remainder.
        parameters: settings of the explainer.
        text: contents of the document, in which the spans of its parts stand.
        unit: what ``score`` is: ``"score"``, or ``"rank"`` where an explainer explains ranks.
        stages: where the document stood behind each stage of the pipeline.
        pipeline: the pipeline that the target is a stage of, as it prints.

    Raises:
        UsageError: parts and remainder do not add up to the score, to 1e-5 of its size.
    """

    target: str
    explainer: str
    query: str
    document_id: str
    score: float
    contributions: tuple[Contribution, ...]
    remainder: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    unit: str = "score"
    stages: tuple[Place, ...] = ()
    pipeline: str = ""

    def __post_init__(self) -> None:
        if not abs(self.total() - self.score) <= TOLERANCE * max(1.0, abs(self.score)):
            raise UsageError(
                f"the explanation by `{self.explainer}` adds up to {self.total():.6g}, not to the score {self.score:.6g}"
            )

    @property
    def amount(self) -> str:
        """The score for readers."""
        return f"{self.score:.0f}" if self.unit == "rank" else f"{self.score:.4f}"

    @property
    def under(self) -> str:
        """What was explained, for readers: the target, and the pipeline where that is more."""
        return f"{self.target} in {self.pipeline}" if self.pipeline not in ("", self.target) else self.target

    @property
    def title(self) -> str:
        """What the explanation is of, in a line."""
        return f"Why {self.document_id} for “{self.query}” under {self.pipeline or self.target}"

    @property
    def absence(self) -> str:
        """Why the document is not in the list at the end of the pipeline, for readers; empty where it is."""
        if not self.stages or self.stages[-1].rank:
            return ""
        stages = [place for place in self.stages if not place.note]
        held = [at for at, place in enumerate(stages) if place.rank]
        lacking = stages[held[-1] + 1 if held else 0]
        what = f"not in the list: `{lacking.stage}` "
        if held:
            before = stages[held[-1]]
            return f"{what}drops it, rank {before.rank} of {before.documents} before"
        score = "it would have this score" if self.contributions else "it has no score"
        return f"{what}does not retrieve it ({lacking.documents} documents)" + (
            f"; {score}" if self.unit == "score" else ""
        )

    def total(self) -> float:
        """Return the sum of all parts and the remainder."""
        return sum(part.score for part in self.contributions) + self.remainder

    def sorted(self) -> tuple[Contribution, ...]:
        """Return the parts, the largest in size first; those of a rank are moves, and stay in their order."""
        return self.contributions if self.unit == "rank" else by_size(self.contributions)

    def parts(self) -> tuple[Contribution, ...]:
        """Return the parts, the largest in size first, and the remainder where there is one."""
        rest = (Contribution("(remainder)", self.remainder, "remainder"),) if self.remainder else ()
        return (*self.sorted(), *rest)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "target": self.target,
            "explainer": self.explainer,
            "query": self.query,
            "document": self.document_id,
            "score": self.score,
            "contributions": [part.to_json() for part in self.contributions],
            "remainder": self.remainder,
            "parameters": dict(self.parameters),
            "text": self.text,
            "unit": self.unit,
            "stages": [place.to_json() for place in self.stages],
            "pipeline": self.pipeline,
        }

    @classmethod
    def from_json(cls, data: Any) -> Explanation:
        """Return what :meth:`to_json` made data of.

        Raises:
            UsageError: it is something else.
        """
        read = Reader(data, "an explanation")
        return cls(
            read.text("target"),
            read.text("explainer"),
            read.text("query"),
            read.text("document"),
            read.number("score"),
            tuple(Contribution.from_json(part) for part in read.items("contributions", dict)),
            read.number("remainder", 0.0),
            read.mapping("parameters"),
            read.text("text", ""),
            read.text("unit", "score"),
            tuple(Place.from_json(place) for place in read.items("stages", dict)),
            read.text("pipeline", ""),
        )

    def to_text(self, width: int = 28, parts: int = 20, colour: bool = False, columns: int = 100) -> str:
        """Return a table with bars for a terminal, under the texts with their parts shaded where there is colour.

        Args:
            width: characters of the bar of the largest part.
            parts: parts shown; the rest is summed up in one line.
            colour: whether the terminal shows colours, by ANSI sequences.
            columns: characters of a line of text.
        """
        from spaniel.explanation.terminal import print_explanation

        return print_explanation(self, width, parts, colour, columns)

    def to_html(self) -> str:
        """Return a fragment of HTML with styles of its own and no script: bars, shaded texts, parts that fold."""
        from spaniel.explanation.page import figure

        return figure(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_png(self, path: str | PathLike[str], parts: int = 20) -> None:
        """Draw the largest parts as bars, their children beneath them.

        Raises:
            UsageError: matplotlib is not installed.
        """
        from spaniel.explanation.plot import draw_explanation

        draw_explanation(self, path, parts)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the explanation in the form that the name asks for: ``.json``, ``.html``, ``.png``, ``.txt``.

        The page is one file that needs no network; it is interactive: what the pointer is on shows its number and where
        it stands in the texts.

        Raises:
            UsageError: another ending.
        """
        save(self, path)


def save(made: Any, path: str | PathLike[str]) -> None:
    """Write something that has ``title``, ``to_json``, ``to_text``, ``to_html`` and ``to_png`` as the ending asks.

    Raises:
        UsageError: the ending asks for nothing known.
    """
    from spaniel.explanation.page import page

    target = Path(path)
    if target.suffix == ".png":
        made.to_png(target)
        return
    forms: dict[str, Callable[[], str]] = {
        ".json": lambda: json.dumps(made.to_json(), ensure_ascii=False, indent=2),
        ".html": lambda: page(made.to_html(), made.title),
        ".txt": made.to_text,
    }
    if target.suffix not in forms:
        raise UsageError(f"{target.name!r}: explanations are written as .json, .html, .png or .txt")
    target.write_text(forms[target.suffix]() + "\n", encoding="utf-8")

"""Explanations: contributions that add up to a score, or name what they leave unexplained."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from spaniel.errors import UsageError

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Contribution:
    """A part of a score.

    Attributes:
        label: the term, token, stage … that contributes.
        score: how much, in units of the explained score.
        kind: what the label is: ``"term"``, ``"token"``, ``"stage"``, ``"head"`` …
        children: parts of this part, in units of their own where ``note`` says so.
        note: how the score came about, for readers.
    """

    label: str
    score: float
    kind: str = "term"
    children: tuple[Contribution, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "label": self.label,
            "score": self.score,
            "kind": self.kind,
            "children": [child.to_json() for child in self.children],
            "note": self.note,
        }


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

    def __post_init__(self) -> None:
        if not abs(self.total() - self.score) <= TOLERANCE * max(1.0, abs(self.score)):
            raise UsageError(
                f"the explanation by `{self.explainer}` adds up to {self.total():.6g}, not to the score {self.score:.6g}"
            )

    def total(self) -> float:
        """Return the sum of all parts and the remainder."""
        return sum(part.score for part in self.contributions) + self.remainder

    def sorted(self) -> tuple[Contribution, ...]:
        """Return the parts, the largest in size first."""
        return tuple(sorted(self.contributions, key=lambda part: -abs(part.score)))

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
        }

    def to_text(self, width: int = 28) -> str:
        """Return a table with bars for a terminal; bars are ``width`` characters for the largest part."""
        lines = [
            f"{self.document_id}  score {self.score:.4f}  by {self.target}",
            f'query "{self.query}", explained by {self.explainer}',
        ]
        rows = list(_rows(self.sorted(), 0))
        if self.remainder:
            rows.append((0, Contribution("(remainder)", self.remainder, "remainder")))
        largest = max((abs(part.score) for depth, part in rows if not depth), default=0.0) or 1.0
        label = min(48, max((len(part.label) + 2 * depth for depth, part in rows), default=0))
        for depth, part in rows:
            bar = "█" * round(width * min(1.0, abs(part.score) / largest)) if not depth else ""
            name = ("  " * depth + part.label)[:label]
            lines.append(f"  {name:<{label}} {part.score:>+10.4f}  {bar:<{width}}  {part.note}".rstrip())
        return "\n".join(lines)

    def to_html(self) -> str:
        """Return a fragment of HTML with inline styles and no script."""
        largest = max((abs(part.score) for part in self.contributions), default=0.0) or 1.0
        rows = "".join(
            f"<tr><td style='padding-left:{0.4 + depth}em'>{html.escape(part.label)}</td>"
            f"<td style='text-align:right;font-variant-numeric:tabular-nums'>{part.score:+.4f}</td>"
            f"<td>{_bar(part.score / largest) if not depth else ''}</td><td>{html.escape(part.note)}</td></tr>"
            for depth, part in (*_rows(self.sorted(), 0), *([(0, self._rest())] if self.remainder else []))
        )
        return (
            "<figure class='spaniel-explanation' style='font-family:system-ui,sans-serif;margin:1em 0'>"
            f"<figcaption><b>{html.escape(self.document_id)}</b> scores {self.score:.4f} for “{html.escape(self.query)}” "
            f"under <code>{html.escape(self.target)}</code>, explained by {html.escape(self.explainer)}</figcaption>"
            f"<table style='border-collapse:collapse'>{rows}</table></figure>"
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def _rest(self) -> Contribution:
        return Contribution("(remainder)", self.remainder, "remainder")

    def to_png(self, path: str | PathLike[str], parts: int = 20) -> None:
        """Draw the largest parts as bars.

        Raises:
            UsageError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise UsageError('plots need matplotlib: pip install "spaniel[report]"') from None
        shown = [*self.sorted()[:parts], *([self._rest()] if self.remainder else [])][::-1]
        figure = Figure(figsize=(7, 0.8 + 0.28 * max(1, len(shown))), layout="constrained")
        axes = figure.subplots()
        colours = ["#3568b8" if part.score >= 0 else "#b8433a" for part in shown]
        axes.barh(range(len(shown)), [part.score for part in shown], color=colours)
        axes.set_yticks(range(len(shown)), [part.label for part in shown])
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel("contribution to the score")
        axes.set_title(f"{self.document_id}: {self.score:.4f} by {self.target}", fontsize=10)
        figure.savefig(path, dpi=150)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the explanation in the form that the name asks for: ``.json``, ``.html``, ``.png``, ``.txt``.

        Raises:
            UsageError: another ending.
        """
        from pathlib import Path

        target = Path(path)
        if target.suffix == ".png":
            self.to_png(target)
            return
        forms = {".json": lambda: json.dumps(self.to_json(), ensure_ascii=False, indent=2), ".html": self._page}
        forms[".txt"] = self.to_text
        if target.suffix not in forms:
            raise UsageError(f"{target.name!r}: explanations are written as .json, .html, .png or .txt")
        target.write_text(forms[target.suffix]() + "\n", encoding="utf-8")

    def _page(self) -> str:
        return f"<!doctype html><meta charset='utf-8'><title>Explanation</title>{self.to_html()}"


def _rows(parts: tuple[Contribution, ...], depth: int) -> list[tuple[int, Contribution]]:
    found = []
    for part in parts:
        found.append((depth, part))
        found += _rows(tuple(sorted(part.children, key=lambda child: -abs(child.score))), depth + 1)
    return found


def _bar(share: float) -> str:
    colour = "#3568b8" if share >= 0 else "#b8433a"
    return f"<div style='background:{colour};height:.8em;width:{12 * abs(share):.2f}em'></div>"

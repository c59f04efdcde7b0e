"""Explanations as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from spaniel.errors import UsageError

if TYPE_CHECKING:
    from spaniel.explanation.contrast import Contrast, Difference
    from spaniel.explanation.contribution import Contribution
    from spaniel.explanation.explanation import Explanation

FOR, AGAINST, OTHER = "#2b6cb0", "#c05621", "#8a8f98"
_LABEL = 40
_INDENT = "   "
_CHILDREN = 8
"""Children of a part that are drawn; the others are summed up."""


class _Bar(NamedTuple):
    """A line of the picture: its lengths are shares of the explained score, its number may be of a score of its own."""

    label: str
    depth: int
    lengths: tuple[float, ...]
    number: str
    kind: str = ""


def draw_explanation(explanation: Explanation, path: str | PathLike[str], parts: int) -> None:
    """Draw the largest parts as bars, their children beneath them; see :meth:`Explanation.to_png`."""
    shown = [*explanation.sorted()[:parts], *explanation.parts()[len(explanation.contributions) :]]
    bars = list(_bars(shown, parts))[::-1]
    figure, axes = _canvas(len(bars))
    for place, bar in enumerate(bars):
        colour = OTHER if bar.kind in ("remainder", "baseline") else FOR if bar.lengths[0] >= 0 else AGAINST
        axes.barh(place, bar.lengths[0], 0.8 - 0.25 * min(bar.depth, 2), color=colour, alpha=_alpha(bar))
    title = f"{explanation.document_id}: {explanation.amount} by {explanation.under}"
    if explanation.absence:
        title += f"\n{explanation.absence}"
    _finish(figure, axes, bars, f"contribution to the {explanation.unit}", title, path)


def draw_contrast(contrast: Contrast, path: str | PathLike[str], parts: int) -> None:
    """Draw the largest differences as pairs of bars, those of their children beneath; see :meth:`Contrast.to_png`."""
    bars = list(_pairs(contrast.rows[:parts], parts))[::-1]
    figure, axes = _canvas(2 * len(bars))
    for place, bar in enumerate(bars):
        height = 0.38 - 0.1 * min(bar.depth, 2)
        axes.barh(place + height / 2, bar.lengths[0], height, color=FOR, alpha=_alpha(bar), label="first")
        axes.barh(place - height / 2, bar.lengths[1], height, color=AGAINST, alpha=_alpha(bar), label="second")
    names = [contrast.first.document_id, contrast.second.document_id]
    handles = axes.get_legend_handles_labels()[0][-2:]
    legend = figure.legend(handles, [_short(name) for name in names], fontsize=8, loc="outside lower center", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)
    title = f"{names[0]} against {names[1]}: {contrast.difference.score:+.4f} by {contrast.first.under}"
    _finish(figure, axes, bars, f"contribution to the {contrast.first.unit}", title, path)


def _bars(parts: Sequence[Contribution], most: int, depth: int = 0, factor: float = 1.0) -> Iterator[_Bar]:
    for part in parts[:most] if depth else parts:
        yield _Bar(part.label, depth, (factor * part.score,), f"{part.score:+.4f}", part.kind)
        yield from _bars(part.sorted(), min(most, _CHILDREN), depth + 1, factor * part.share)
    if depth and len(parts) > most:
        rest = sum(part.score for part in parts[most:])
        yield _Bar(f"({len(parts) - most} more)", depth, (factor * rest,), f"{rest:+.4f}")


def _pairs(rows: Sequence[Difference], most: int, depth: int = 0, factor: float = 1.0) -> Iterator[_Bar]:
    for row in rows[:most]:
        numbers = (row.first, row.second)
        yield _Bar(
            row.part.label, depth, (factor * row.first, factor * row.second), " ".join(f"{n:+.4f}" for n in numbers)
        )
        # One measure for both sides: that of the larger.
        size = max(sum(abs(inner.first) for inner in row.inner), sum(abs(inner.second) for inner in row.inner))
        share = max(map(abs, numbers)) / size if size else 0.0
        yield from _pairs(row.inner, min(most, _CHILDREN), depth + 1, factor * share)
    if depth and len(rows) > most:
        first, second = (sum(getattr(row, name) for row in rows[most:]) for name in ("first", "second"))
        yield _Bar(
            f"({len(rows) - most} more)", depth, (factor * first, factor * second), f"{first:+.4f} {second:+.4f}"
        )


def _alpha(bar: _Bar) -> float:
    return 0.55 if bar.depth else 1.0


def _canvas(bars: int) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('plots need matplotlib: pip install "spaniel[report]"') from None
    figure = Figure(figsize=(7, 1.1 + 0.28 * max(1, bars)), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, bars: Sequence[_Bar], unit: str, title: str, path: str | PathLike[str]) -> None:
    axes.set_yticks(range(len(bars)), [_INDENT * bar.depth + _short(bar.label) for bar in bars])
    # Labels are texts, not formulas, whatever dollars are in them.
    for text, bar in zip(axes.get_yticklabels(), bars, strict=True):
        text.set_parse_math(False)
        text.set_fontsize(8 if bar.depth else 10)
    width = max((abs(length) for bar in bars for length in bar.lengths), default=0.0) or 1.0
    for place, bar in enumerate(bars):
        end = max(0.0, *bar.lengths) + 0.015 * width
        axes.text(end, place, bar.number, va="center", fontsize=7, color="#444", parse_math=False)
    axes.margins(x=0.16 if len(bars[0].lengths if bars else ()) < 2 else 0.3, y=0.02)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(unit)
    first, *others = title.split("\n")
    axes.set_title("\n".join([_short(first, 90), *others]), fontsize=10, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _short(text: str, length: int = _LABEL) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"

"""Explanations as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from spaniel.errors import UsageError

if TYPE_CHECKING:
    from spaniel.explanation.contrast import Contrast
    from spaniel.explanation.explanation import Explanation

FOR, AGAINST, OTHER = "#2b6cb0", "#c05621", "#8a8f98"
_LABEL = 40


def draw_explanation(explanation: Explanation, path: str | PathLike[str], parts: int) -> None:
    """Draw the largest parts as bars; see :meth:`Explanation.to_png`."""
    shown = [*explanation.sorted()[:parts], *explanation.parts()[len(explanation.contributions) :]][::-1]
    figure, axes = _canvas(len(shown))
    axes.barh(
        range(len(shown)),
        [part.score for part in shown],
        color=[OTHER if part.kind == "remainder" else FOR if part.score >= 0 else AGAINST for part in shown],
    )
    title = f"{explanation.document_id}: {explanation.score:.4f} by {explanation.target}"
    _finish(figure, axes, [part.label for part in shown], f"contribution to the {explanation.unit}", title, path)


def draw_contrast(contrast: Contrast, path: str | PathLike[str], parts: int) -> None:
    """Draw the largest differences as pairs of bars; see :meth:`Contrast.to_png`."""
    shown = contrast.rows[:parts][::-1]
    figure, axes = _canvas(2 * len(shown))
    places = range(len(shown))
    axes.barh([p + 0.2 for p in places], [here for _, here, _ in shown], 0.38, color=FOR, label="first")
    axes.barh([p - 0.2 for p in places], [there for _, _, there in shown], 0.38, color=AGAINST, label="second")
    names = [contrast.first.document_id, contrast.second.document_id]
    handles = axes.get_legend_handles_labels()[0]
    legend = figure.legend(handles, [_short(name) for name in names], fontsize=8, loc="outside lower center", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)
    title = f"{names[0]} against {names[1]}: {contrast.difference.score:+.4f} by {contrast.first.target}"
    labels = [part.label for part, _, _ in shown]
    _finish(figure, axes, labels, f"contribution to the {contrast.first.unit}", title, path)


def _canvas(bars: int) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('plots need matplotlib: pip install "spaniel[report]"') from None
    figure = Figure(figsize=(7, 1.1 + 0.28 * max(1, bars)), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, labels: Sequence[str], unit: str, title: str, path: str | PathLike[str]) -> None:
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    # Labels are texts, not formulas, whatever dollars are in them.
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(unit)
    axes.set_title(_short(title, 90), fontsize=10, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _short(text: str, length: int = _LABEL) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"

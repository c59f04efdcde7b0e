"""Diagnoses and curves as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import UsageError

from spaniel_limit.bounds import PUBLISHED_CRITICAL

if TYPE_CHECKING:
    from spaniel_limit.diagnosis import Diagnosis, Returned
    from spaniel_limit.needed import Needed

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#8a8f98"
_SHADES = ("#1a4971", "#2b6cb0", "#63a4d8", "#a9cdea")
_QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def draw_diagnosis(found: Diagnosis, path: str | PathLike[str]) -> None:
    """Draw what is returned, by dimension where there are several, beside the quantiles of the margins."""
    figure, (left, right) = _canvas(2)
    if len(found.by_dimensions) > 1:
        _draw_dimensions(left, found.by_dimensions)
    else:
        one = found.pipeline_returned
        bars = {**{f"R@{depth}": value for depth, value in one.recall.items()}, "whole": one.whole}
        left.bar(list(bars), list(bars.values()), color=[*[_BLUE] * len(one.recall), _ORANGE])
    left.set_ylim(0, 1.02)
    left.set_ylabel("share")
    for one in found.by_dimensions or (found.pipeline_returned,):
        if one.margins:
            label = None if one.dimensions is None else f"{one.dimensions} dimensions"
            right.plot(one.margins, _QUANTILES, "o-", ms=3, label=label)
    right.axvline(0, color=_GREY, lw=1)
    right.set_xlabel("lowest relevant less highest other score")
    right.set_ylabel("% of the queries at most there")
    if right.get_legend_handles_labels()[0]:
        right.legend(frameon=False, fontsize=8)
    title = figure.suptitle(f"{found.pipeline} on {found.collection}", fontsize=10)
    title.set_parse_math(False)
    _save(figure, path)


def draw_curve(points: Mapping[int, Sequence[int]], path: str | PathLike[str]) -> None:
    """Draw critical numbers of documents by dimension, one dot a seed, over the published curve."""
    figure, (axes,) = _canvas(1)
    low, high = min(points), max(points)
    published = {d: n for d, n in PUBLISHED_CRITICAL.items() if low <= d <= high}
    axes.plot(list(published), list(published.values()), color=_GREY, label="published (k = 2)")
    dots = [(d, n) for d, several in points.items() for n in several]
    axes.scatter(*zip(*dots, strict=True), color=_BLUE, s=18, label="measured", zorder=3)
    axes.set_xlabel("dimensions")
    axes.set_ylabel("documents of which every set is returned")
    axes.legend(frameon=False)
    _save(figure, path)


def draw_needed(found: Sequence[Needed], collection: str, path: str | PathLike[str]) -> None:
    """Draw the share of sets that free embeddings return, by dimension, a line a seed."""
    figure, (axes,) = _canvas(1)
    for one in found:
        points = [(trial.d, trial.whole / one.sets) for trial in one.trials]
        axes.plot(*zip(*points, strict=True), "o-", ms=3, color=_BLUE, alpha=0.7)
        if one.d is not None:
            axes.axvline(one.d, color=_ORANGE, lw=1, ls="--")
    several = sorted({trial.d for one in found for trial in one.trials})
    axes.set_xscale("log", base=2)
    axes.set_xticks(several, [str(d) for d in several])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("dimensions of free embeddings")
    axes.set_ylabel("share of the sets that are returned")
    axes.set_title(f"judgments of {collection}", fontsize=10).set_parse_math(False)
    _save(figure, path)


def _draw_dimensions(axes: Any, rows: Sequence[Returned]) -> None:
    dimensions = [one.dimensions for one in rows]
    for depth, colour in zip(rows[0].recall, _SHADES * len(rows[0].recall), strict=False):
        axes.plot(dimensions, [one.recall[depth] for one in rows], "o-", ms=3, color=colour, label=f"R@{depth}")
    axes.plot(dimensions, [one.whole for one in rows], "s-", ms=3, color=_ORANGE, label="returned whole")
    for name, style in (("wanted_in_reach", "--"), ("any_in_reach", ":")):
        values = [getattr(one, name) for one in rows]
        if None not in values:
            axes.plot(dimensions, values, style, color=_GREY, label=name.replace("_", " "))
    axes.set_xscale("log", base=2)
    axes.set_xticks(dimensions, [str(d) for d in dimensions])
    axes.set_xlabel("leading dimensions")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _canvas(panels: int) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('plots need matplotlib: pip install "spaniel-limit[plot]"') from None
    figure = Figure(figsize=(5.6 * panels, 4.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(1, panels))
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: str | PathLike[str]) -> None:
    # Without the version of matplotlib in it, the same result gives the same file.
    figure.savefig(path, format="png", metadata={"Software": None})

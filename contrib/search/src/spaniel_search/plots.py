"""The plots of a search as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spaniel_search.curves import compared, cost_of, cost_words, front_of, steps_of
from spaniel_search.searching import Result

BEST, COSTS = "best-so-far.png", "cost-score.png"
_INK, _LINE = "#8a939d", "#1f6fb5"


def write_plots(result: Result, place: Callable[[str], Path]) -> None:
    """Write ``best-so-far.png`` and ``cost-score.png``.

    Args:
        result: what the search found.
        place: returns the path of a file by its name.
    """
    _write(_best_so_far, result, place(BEST))
    _write(_cost_score, result, place(COSTS))


def _write(draw: Callable[[Any, Result], None], result: Result, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes, result)
    # Without the version of matplotlib in it, the same result gives the same file.
    figure.savefig(path, format="png", metadata={"Software": None})


def _measure(result: Result) -> str:
    return str(result.facts.get("measure", "score"))


def _best_so_far(axes: Any, result: Result) -> None:
    steps = [step for step in steps_of(result) if step.trial.score is not None]
    axes.scatter([s.spent for s in steps], [s.trial.score for s in steps], s=12, color=_INK, label="candidates")
    known = [step for step in steps if step.best is not None]
    axes.step([s.spent for s in known], [s.best for s in known], where="post", color=_LINE, lw=2, label="best so far")
    axes.set_xlabel("candidates scored")
    axes.set_ylabel(_measure(result))
    axes.legend(frameon=False, loc="lower right")


def _cost_score(axes: Any, result: Result) -> None:
    trials = compared(result)
    axes.scatter([cost_of(t) for t in trials], [t.score for t in trials], s=12, color=_INK, label="candidates")
    front = front_of(trials)
    axes.plot(
        [cost_of(t) for t in front],
        [t.score for t in front],
        "o-",
        ms=4,
        color=_LINE,
        label="none is better and cheaper",
    )
    costs = [cost_of(t) for t in trials]
    if min(costs) > 0 and max(costs) / min(costs) > 20:
        axes.set_xscale("log")
    axes.set_xlabel(cost_words(result))
    axes.set_ylabel(_measure(result))
    axes.legend(frameon=False, loc="lower right")

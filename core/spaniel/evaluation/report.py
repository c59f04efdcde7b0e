"""A comparison as one HTML file that needs no network."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from spaniel.data.files import write_text
from spaniel.errors import UsageError
from spaniel.evaluation.comparison import Comparison
from spaniel.evaluation.comparison import SIGNIFICANT
from spaniel.evaluation.table import human_bytes
def check_report_extra() -> None: ...


_LARGEST = 5
_COLOURS = ("#3568b8", "#c8553d", "#4b8f5a", "#8a5ab0", "#b08a2e", "#3a9ca6", "#a64d79", "#666666")


def write_report(path: Path, comparison: Comparison, texts: Mapping[str, str], recipe: Mapping[str, Any]) -> None:
    """Write the report.

    Args:
        path: the file.
        comparison: what it shows.
        texts: query id → text.
        recipe: versions and settings that repeat it.

    Raises:
        UsageError: jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('reports need jinja2 and matplotlib: pip install "spaniel[report]"') from None
    template = files("spaniel.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["bytes"] = human_bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spaniel", "font.family": "sans-serif", "font.size": 10}):
        scatter = _svg(_scatter(Figure(figsize=(7.2, 4.0), layout="constrained"), comparison))
        changes = [
            (d, _svg(_bars(Figure(figsize=(7.2, 2.0), layout="constrained"), comparison, d)), _queries(comparison, d, texts))
            for d in comparison.differences
            if d.measure == comparison.systems[0].evaluation.measures[0]
        ]
    page = environment.from_string(template).render(
        comparison=comparison,
        measures=comparison.systems[0].evaluation.measures,
        colours=_COLOURS,
        scatter=scatter,
        changes=changes,
        recipe=recipe,
        significant=SIGNIFICANT,
        marks={(d.system, d.measure) for d in comparison.differences if d.p_corrected < SIGNIFICANT},
    )
    with write_text(path) as file:
        file.write(page)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    # The page's own colours hold in both light and dark: black becomes the colour of its text.
    text = re.sub(r"^.*?(?=<svg)", "", text, flags=re.DOTALL)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'role="img"', text, count=1)
    return text.replace("#000000", "currentColor").replace("<text ", '<text fill="currentColor" ')


def _scatter(figure: Any, comparison: Comparison) -> Any:
    axes = figure.subplots()
    measure = comparison.systems[0].evaluation.measures[0]
    for number, (system, intervals) in enumerate(zip(comparison.systems, comparison.intervals, strict=True)):
        mean, (low, high) = system.evaluation.means[measure], intervals[measure]
        colour = _COLOURS[number % len(_COLOURS)]
        error = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
        cost = max(system.cost["ms_per_query"], 1e-3)
        axes.errorbar([cost], [mean], yerr=error, fmt="o", color=colour, capsize=3, label=f"{number + 1}. {_short(system.name)}")
        axes.annotate(str(number + 1), (cost, mean), textcoords="offset points", xytext=(7, 5), color=colour)
    axes.set_xscale("log")
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(lambda value, _: f"{value:g}")
    axes.set_xlabel("milliseconds a query")
    axes.set_ylabel(f"{measure}, 95 % interval")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", fontsize=8, frameon=False)
    return figure


def _bars(figure: Any, comparison: Comparison, difference: Any) -> Any:
    axes = figure.subplots()
    values = np.sort(_changes(comparison, difference))[::-1]
    colours = ["#3568b8" if v > 0 else "#c8553d" for v in values]
    axes.bar(np.arange(len(values)), values, width=1.0, color=colours)
    axes.axhline(0, linewidth=0.8, color="black")
    axes.set_xticks([])
    axes.set_ylabel(f"Δ {difference.measure}")
    axes.set_xlabel("queries, from gain to loss")
    return figure


def _changes(comparison: Comparison, difference: Any) -> Any:
    by_name = {system.name: system.evaluation for system in comparison.systems}
    one, two = by_name[difference.baseline], by_name[difference.system]
    row = one.measures.index(difference.measure)
    return two.per_query[row] - one.per_query[row]


def _queries(comparison: Comparison, difference: Any, texts: Mapping[str, str]) -> list[tuple[str, str, float]]:
    changes = _changes(comparison, difference)
    ids = comparison.systems[0].evaluation.query_ids
    order = np.argsort(-changes, kind="stable")
    chosen = dict.fromkeys([*order[:_LARGEST].tolist(), *order[-_LARGEST:].tolist()])
    return [(ids[i], texts.get(ids[i], ""), float(changes[i])) for i in chosen if abs(changes[i]) > 0]


def _short(name: str) -> str:
    return name if len(name) <= 70 else f"{name[:67]}…"

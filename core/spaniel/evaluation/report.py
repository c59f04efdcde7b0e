"""A comparison as one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaniel.data.files import write_text
from spaniel.errors import UsageError
from spaniel.evaluation.charts import Bars, bars, largest_change, scatter
from spaniel.evaluation.comparison import SIGNIFICANT, Comparison, Difference
from spaniel.evaluation.measures import write_value
from spaniel.evaluation.table import COSTS, costs_measured, describe_data, p_value, write_cost

_LARGEST = 5
"""Queries listed of those that gain most, and of those that lose most."""


@dataclass(frozen=True)
class _Query:
    id: str
    text: str
    before: float
    after: float
    change: float


@dataclass(frozen=True)
class _Change:
    """A difference, drawn, with the queries behind it."""

    difference: Difference
    system: int
    baseline: int
    bars: Bars
    gains: list[_Query]
    losses: list[_Query]


def check_report_extra() -> None:
    """Make sure that reports can be written, which is worth knowing before what they report has run for hours.

    Raises:
        UsageError: jinja2 is not installed; the message names the command.
    """
    if find_spec("jinja2") is None:
        raise UsageError('reports need jinja2: pip install "spaniel[report]"')


def write_report(
    path: Path,
    comparison: Comparison,
    texts: Mapping[str, str] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> None:
    """Write a comparison as one HTML file: quality with intervals beside cost, and query by query.

    The page needs no network and no other file, and is the same for the same comparison.

    Args:
        path: the file.
        comparison: what it shows.
        texts: query id → text, for the queries on which systems differ most.
        recipe: what repeats it (versions, settings): plain data, a heading for each group of figures.

    Raises:
        UsageError: jinja2 is not installed.
        ArtifactError: the file cannot be written.
    """
    check_report_extra()
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["p_value"] = p_value
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    costs = costs_measured(comparison)
    page = template.render(
        title=describe_data(comparison) or f"{len(comparison.systems)} systems",
        comparison=comparison,
        costs=costs,
        names=COSTS,
        write_cost=write_cost,
        write_value=write_value,
        scatters=[scatter(comparison, measure, cost) for measure in comparison.tested for cost in costs],
        changes=_changes(comparison, texts or {}),
        recipe=[(str(name).replace("_", " "), _entries(group)) for name, group in (recipe or {}).items()],
        significant=SIGNIFICANT,
    )
    with write_text(path) as file:
        file.write(page)


def _changes(comparison: Comparison, texts: Mapping[str, str]) -> list[_Change]:
    positions = {system.name: at for at, system in enumerate(comparison.systems)}
    by_query = [comparison.changes(difference) for difference in comparison.differences]
    scales = {
        # One scale for a measure, so that the charts of several systems can be compared by eye.
        measure: largest_change(
            [v for v, d in zip(by_query, comparison.differences, strict=True) if d.measure == measure]
        )
        for measure in comparison.tested
    }
    return [
        _Change(
            difference,
            positions[difference.system],
            positions[difference.baseline],
            bars(values, scales[difference.measure]),
            *_extremes(comparison, difference, values, texts),
        )
        for values, difference in zip(by_query, comparison.differences, strict=True)
    ]


def _extremes(
    comparison: Comparison, difference: Difference, changes: NDArray[np.float64], texts: Mapping[str, str]
) -> tuple[list[_Query], list[_Query]]:
    """Return the queries that gain most and those that lose most, the largest difference first."""
    evaluations = {system.name: system.evaluation for system in comparison.systems}
    before = evaluations[difference.baseline].values(difference.measure)
    after = evaluations[difference.system].values(difference.measure)
    ids = comparison.systems[0].evaluation.query_ids

    def listed(order: NDArray[np.intp]) -> list[_Query]:
        return [
            _Query(ids[at], texts.get(ids[at], ""), float(before[at]), float(after[at]), float(changes[at]))
            for at in order.tolist()
        ]

    order = np.argsort(-changes, kind="stable")
    return (
        listed(order[: min(_LARGEST, difference.wins)]),
        listed(order[::-1][: min(_LARGEST, difference.losses)]),
    )


def _entries(group: Any) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in (group.items() if isinstance(group, Mapping) else [("", group)])]

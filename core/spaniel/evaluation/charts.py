"""The geometry of the report's charts: everything in per cent of the plot, so that it fits any width with its text as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaniel.evaluation.comparison import Comparison
from spaniel.evaluation.table import COSTS, write_cost

_LOG_FROM = 20
"""Costs that differ by this factor or more are shown on a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``.

    Attributes:
        ticks: position in per cent, and label.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    @property
    def ticks_from_top(self) -> tuple[tuple[float, str], ...]:
        """The ticks of an axis that stands upright."""
        return tuple((100 - at, label) for at, label in self.ticks)

    def place(self, value: float) -> float:
        """Return where a value lies, in per cent from the lower end."""
        return _place(value, self.low, self.high, self.logarithmic)


@dataclass(frozen=True)
class Point:
    """A system in the scatter, with the ends of its interval; ``y`` counts from the top."""

    number: int
    x: float
    y: float
    top: float
    bottom: float
    title: str


@dataclass(frozen=True)
class Scatter:
    """A measure against a cost; ``missing`` are the numbers of the systems whose cost is not known."""

    measure: str
    cost: str
    cost_words: str
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True)
class Bars:
    """Differences by query, from gain to loss, as two outlines in a box ``queries`` wide and 200 high.

    Attributes:
        ticks: position in per cent from the top, and label.
    """

    queries: int
    gains: str
    losses: str
    ticks: tuple[tuple[float, str], ...]


def linear_axis(low: float, high: float, write: Callable[[float], str]) -> Axis:
    """Return an axis around an interval, with ticks at round numbers."""
    if high - low <= 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.05 * (abs(low) or 1.0), high + 0.05 * (abs(high) or 1.0)
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple((100 * (n - first) / (last - first), write(n * step)) for n in range(first, last + 1))
    return Axis(first * step, last * step, ticks)


def logarithmic_axis(low: float, high: float, write: Callable[[float], str]) -> Axis:
    """Return a logarithmic axis around an interval of positive numbers, with ticks at powers of ten, or also between."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    every = max(1, math.ceil((last - first) / 5))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    at = [factor * 10.0**power for power in range(first, last + 1, every) for factor in steps]
    low, high = 10.0**first, 10.0**last
    ticks = tuple((_place(value, low, high, True), write(value)) for value in at if value <= high * 1.001)
    return Axis(low, high, ticks, True)


def scatter(comparison: Comparison, measure: str, cost: str) -> Scatter:
    """Place the systems by a measure and a cost."""
    known = [(at, s) for at, s in enumerate(comparison.systems) if cost in s.cost]
    ends = [comparison.intervals[at][measure] for at, _ in known]
    costs = [float(system.cost[cost]) for _, system in known]
    y = linear_axis(min(low for low, _ in ends), max(high for _, high in ends), lambda value: f"{value:.3g}")
    write = _short(cost)
    if min(costs) > 0 and max(costs) / min(costs) >= _LOG_FROM:
        x = logarithmic_axis(min(costs), max(costs), write)
    else:
        x = linear_axis(0.0, max(costs) or 1.0, write)
    points = []
    for (at, system), (low, high), value in zip(known, ends, costs, strict=True):
        mean = system.evaluation.means[measure]
        words = f"{measure} {mean:.4f} ({low:.4f} to {high:.4f}), {COSTS[cost].words} {write_cost(cost, system.cost)}"
        title = f"{at + 1} {system.name}: {words}"
        points.append(
            Point(at + 1, x.place(value), 100 - y.place(mean), 100 - y.place(high), 100 - y.place(low), title)
        )
    missing = tuple(at + 1 for at, system in enumerate(comparison.systems) if cost not in system.cost)
    return Scatter(measure, cost, COSTS[cost].words, x, y, tuple(points), missing)


def bars(changes: NDArray[np.float64], largest: float) -> Bars:
    """Draw differences by query on a scale from ``-largest`` to ``largest``."""
    values = np.sort(changes)[::-1]
    heights = np.round(100 * values / (largest or 1.0), 1)
    half = f"{largest / 2:.2g}"
    labels = (f"+{largest:.2g}", f"+{half}", "0", f"−{half}", f"−{largest:.2g}") if largest else ("", "", "0", "", "")
    ticks = tuple((25.0 * at, label) for at, label in enumerate(labels) if label)
    return Bars(len(values), _outline(np.maximum(heights, 0)), _outline(np.minimum(heights, 0)), ticks)


def largest_change(changes: Sequence[NDArray[np.float64]]) -> float:
    """Return a round number that no difference exceeds; 0 where nothing differs."""
    most = max((float(np.abs(values).max(initial=0.0)) for values in changes), default=0.0)
    if most <= 1e-9:
        return 0.0
    return 2 * _round_step(most / 2, (1, 1.5, 2, 2.5, 3, 4, 5, 10))


def _outline(heights: NDArray[np.float64]) -> str:
    """Return the path of bars side by side; equal neighbours are one stroke, so its length does not grow with queries."""
    if not heights.any():
        return ""
    ends = np.append(np.flatnonzero(np.diff(heights)) + 1, len(heights))
    strokes = (f"V{100 - heights[end - 1]:g}H{end}" for end in ends.tolist())
    return f"M0 100{''.join(strokes)}V100Z"


def _place(value: float, low: float, high: float, logarithmic: bool) -> float:
    if logarithmic:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return 100 * (value - low) / (high - low)


def _round_step(size: float, factors: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """Return the first round number that is not below a size."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in factors if factor * power >= size * (1 - 1e-9))


def _short(cost: str) -> Callable[[float], str]:
    """Return how the ticks of a cost are labelled: as its figures, without needless digits."""
    write = COSTS[cost].write
    plain = cost in ("ms_per_query", "build_seconds", "model_calls")
    return (lambda value: f"{value:,.10g}") if plain else lambda value: write(value).replace(".0 ", " ")

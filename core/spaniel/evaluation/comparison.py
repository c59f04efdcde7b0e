"""Systems side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from spaniel.errors import UsageError
from spaniel.evaluation.measures import Evaluation
from spaniel.evaluation.statistics import RESAMPLES, bootstrap_interval, holm, randomisation_test, wins


@dataclass(frozen=True)
class SystemResult:
    """A system: its name, its expression, its measures and its cost."""

    name: str
    expression: str
    evaluation: Evaluation
    cost: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """How a system differs from a baseline in one measure; ``p_corrected`` is corrected over the whole comparison."""

    baseline: str
    system: str
    measure: str
    difference: float
    p: float
    p_corrected: float
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Comparison:
    """Systems on one task, with intervals and tests."""

    data: Mapping[str, Any]
    systems: tuple[SystemResult, ...]
    intervals: tuple[Mapping[str, tuple[float, float]], ...]
    differences: tuple[Difference, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "data": dict(self.data),
            "systems": [
                {
                    "name": system.name,
                    "expression": system.expression,
                    "measures": dict(system.evaluation.means),
                    "intervals": {name: list(bounds) for name, bounds in intervals.items()},
                    "cost": dict(system.cost),
                }
                for system, intervals in zip(self.systems, self.intervals, strict=True)
            ],
            "comparisons": [asdict(difference) for difference in self.differences],
            "test": f"paired randomisation, two-sided, {RESAMPLES} resamples, Holm over all comparisons and measures",
            "seed": self.seed,
        }


def compare(
    systems: Sequence[SystemResult],
    data: Mapping[str, Any],
    baseline: int = 0,
    all_pairs: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare systems on the same queries: each with the baseline, or every pair.

    Raises:
        UsageError: they were measured on other queries, or by other measures.
    """
    first = systems[0].evaluation
    for system in systems[1:]:
        other = system.evaluation
        if (other.query_ids, other.measures) != (first.query_ids, first.measures):
            raise UsageError(f"{system.name} was measured on other queries or by other measures than {systems[0].name}")
    intervals = tuple(
        {
            name: bootstrap_interval(values, seed)
            for name, values in zip(first.measures, system.evaluation.per_query, strict=True)
        }
        for system in systems
    )
    others = [i for i in range(len(systems)) if i != baseline]
    pairs = list(combinations(range(len(systems)), 2)) if all_pairs else [(baseline, i) for i in others]
    found = []
    for one, two in pairs:
        for row, name in enumerate(first.measures):
            differences = systems[two].evaluation.per_query[row] - systems[one].evaluation.per_query[row]
            mean = float(differences.mean()) if len(differences) else 0.0
            p = randomisation_test(differences, seed)
            found.append((systems[one].name, systems[two].name, name, mean, p, wins(differences)))
    corrected = holm([p for *_, p, _ in found])
    made = tuple(
        Difference(one, two, name, mean, p, fixed, *counts)
        for (one, two, name, mean, p, counts), fixed in zip(found, corrected, strict=True)
    )
    return Comparison(dict(data), tuple(systems), intervals, made, seed)

"""Systems side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaniel.errors import UsageError
from spaniel.evaluation.measures import Evaluation, counts
from spaniel.evaluation.statistics import (
    RESAMPLES,
    bootstrap_intervals,
    effect_size,
    holm,
    randomisation_tests,
    win_tie_loss,
)

SIGNIFICANT = 0.05
"""Corrected p-values below it are marked."""


@dataclass(frozen=True)
class SystemResult:
    """A system: its name, its expression, its measures and its cost.

    Attributes:
        cost: ``ms_per_query``, ``build_seconds``, ``bytes_on_disk``, ``peak_memory_bytes``, ``model_calls``, ``tokens``,
            ``price``; what was not measured is left out.
    """

    name: str
    expression: str
    evaluation: Evaluation
    cost: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """How a system differs from a baseline in one measure.

    Attributes:
        difference: mean of the system minus mean of the baseline.
        p: two-sided p-value of the randomisation test.
        p_corrected: the same, corrected over all comparisons and measures.
        wins: queries on which the system is better.
        ties: queries on which both are equal.
        losses: queries on which the baseline is better.
        effect_size: mean difference in standard deviations of the differences; ``None`` where undefined.
    """

    baseline: str
    system: str
    measure: str
    difference: float
    p: float
    p_corrected: float
    wins: int
    ties: int
    losses: int
    effect_size: float | None

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.p_corrected < SIGNIFICANT

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """Systems on one task, with intervals and tests.

    Attributes:
        data: what was searched, as plain data.
        systems: the systems, in the order given.
        intervals: for each system, measure → ends of the 95 % bootstrap interval of its mean; none of what counts.
        differences: by pair, then by measure; none in measures that count, which have no mean.
        seed: seed of intervals and tests.
        baseline: position of the system that the others are compared with; ``None`` where every pair is.
    """

    data: Mapping[str, Any]
    systems: tuple[SystemResult, ...]
    intervals: tuple[Mapping[str, tuple[float, float]], ...]
    differences: tuple[Difference, ...]
    seed: int
    baseline: int | None

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures, which are the same for all systems."""
        return self.systems[0].evaluation.measures

    @property
    def tested(self) -> tuple[str, ...]:
        """The measures that have a mean, so that intervals and tests say something."""
        return tuple(name for name in self.measures if not counts(name))

    @property
    def test(self) -> str:
        """How the differences were tested, in words."""
        tests = len(self.differences)
        return (
            f"paired randomisation, two-sided, {RESAMPLES} resamples (exact where few queries differ), "
            f"Holm over all comparisons and measures ({tests} {'test' if tests == 1 else 'tests'})"
        )

    def changes(self, difference: Difference) -> NDArray[np.float64]:
        """Return the differences by query: ``(queries,)``."""
        evaluations = {system.name: system.evaluation for system in self.systems}
        measure = difference.measure
        return evaluations[difference.system].values(measure) - evaluations[difference.baseline].values(measure)

    def best(self, measure: str) -> frozenset[int]:
        """Return the positions of the systems with the highest mean; none where there is nothing to choose from.

        That a system retrieves more documents, or was asked more queries, does not make it better.
        """
        if counts(measure):
            return frozenset()
        means = [round(system.evaluation.means[measure], 9) for system in self.systems]
        return frozenset(at for at, mean in enumerate(means) if mean == max(means) and len(means) > 1)

    def mark(self, position: int, measure: str) -> str:
        """Return the mark of significance of a system in a measure.

        ``*``: it differs from the baseline. Where every pair is compared, ``>1,3``: it is better than systems 1 and 3.
        """
        name = self.systems[position].name
        found = [d for d in self.differences if d.measure == measure and d.significant]
        if self.baseline is not None:
            return "*" if any(d.system == name for d in found) else ""
        beaten = {d.baseline for d in found if d.system == name and d.difference > 0}
        beaten |= {d.system for d in found if d.baseline == name and d.difference < 0}
        numbers = [str(number) for number, system in enumerate(self.systems, 1) if system.name in beaten]
        return f">{','.join(numbers)}" if numbers else ""

    def to_json(self, per_query: bool = False) -> dict[str, Any]:
        """Return plain data; with ``per_query``, each system has query id → measure → value, too."""
        systems = []
        for system, intervals in zip(self.systems, self.intervals, strict=True):
            entry: dict[str, Any] = {
                "name": system.name,
                "expression": system.expression,
                "measures": dict(system.evaluation.means),
                "intervals": {name: list(ends) for name, ends in intervals.items()},
                "cost": dict(system.cost),
            }
            if per_query:
                values = system.evaluation.per_query.T.tolist()
                entry["per_query"] = {
                    query: dict(zip(self.measures, row, strict=True))
                    for query, row in zip(system.evaluation.query_ids, values, strict=True)
                }
            systems.append(entry)
        return {
            "data": dict(self.data),
            "systems": systems,
            "comparisons": [difference.to_json() for difference in self.differences],
            "test": self.test,
            "seed": self.seed,
        }


def compare(
    systems: Sequence[SystemResult],
    data: Mapping[str, Any] | None = None,
    baseline: int = 0,
    all_pairs: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare systems on the same queries: each with the baseline, or every pair.

    Args:
        systems: the systems, of different names.
        data: what was searched, as plain data; ``name``, ``split``, ``documents`` and ``queries`` head the tables.
        baseline: position of the system that the others are compared with.
        all_pairs: compare every system with every one before it instead.
        seed: seed of intervals and tests.

    Raises:
        UsageError: there are no systems, two of one name, or no such baseline; or they were measured on other queries, or
            by other measures.
    """
    _check(systems, baseline)
    positions = range(len(systems))
    pairs = list(combinations(positions, 2)) if all_pairs else [(baseline, at) for at in positions if at != baseline]
    queries = systems[0].evaluation.query_ids
    measures = [name for name in systems[0].evaluation.measures if not counts(name)]
    values = np.array([[system.evaluation.values(name) for name in measures] for system in systems])
    values = values.reshape(len(systems), len(measures), len(queries))
    ends = bootstrap_intervals(values.reshape(len(systems) * len(measures), len(queries)), seed)
    intervals = tuple(
        {name: (low, high) for name, (low, high) in zip(measures, rows, strict=True)}
        for rows in ends.reshape(len(systems), len(measures), 2).tolist()
    )
    first, second = [one for one, _ in pairs], [two for _, two in pairs]
    differences = (values[second] - values[first]).reshape(len(pairs) * len(measures), len(queries))
    p_values = randomisation_tests(differences, seed)
    corrected = holm(p_values)
    tested = ((one, two, name) for one, two in pairs for name in measures)
    made = tuple(
        Difference(
            systems[one].name,
            systems[two].name,
            name,
            float(differences[row].sum() / max(1, len(queries))),
            float(p_values[row]),
            float(corrected[row]),
            *win_tie_loss(differences[row]),
            effect_size(differences[row]),
        )
        for row, (one, two, name) in enumerate(tested)
    )
    return Comparison(dict(data or {}), tuple(systems), intervals, made, seed, None if all_pairs else baseline)


def _check(systems: Sequence[SystemResult], baseline: int) -> None:
    if not systems:
        raise UsageError("there are no systems to compare")
    if not 0 <= baseline < len(systems):
        raise UsageError(f"there is no baseline {baseline}; the systems are numbered from 0 to {len(systems) - 1}")
    name, times = Counter(system.name for system in systems).most_common(1)[0]
    if times > 1:
        raise UsageError(f"{times} systems have the name {name!r}; names tell systems apart")
    first = systems[0].evaluation
    for system in systems[1:]:
        other = system.evaluation
        if (other.query_ids, other.measures) != (first.query_ids, first.measures):
            raise UsageError(f"{system.name} was measured on other queries or by other measures than {systems[0].name}")

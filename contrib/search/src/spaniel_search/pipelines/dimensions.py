"""The dimensions of a space of pipelines, one a hole; a choice may open further ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from spaniel import UsageError
from spaniel.protocols import Axis

from spaniel_search.pipelines.domains import Range

_STEP = 0.2
"""Standard deviation of a mutation, as a share of the range."""
_TRIES = 20


@dataclass(frozen=True)
class Dimension:
    """A hole: its name, what it may be filled with, and what it is filled with at the beginning.

    Attributes:
        name: unique in the space.
        domain: a range of numbers, or choices, of which a candidate holds the number.
        first: a value of the range, or the number of a choice.
        opens: for each choice, the dimensions that are there only with it.
    """

    name: str
    domain: Range | tuple[Any, ...]
    first: Any
    opens: tuple[tuple[Dimension, ...], ...] = ()

    @property
    def axis(self) -> Axis:
        """The dimension as an axis."""
        if isinstance(self.domain, Range):
            return Axis(self.name, self.domain.size)
        return Axis(self.name, len(self.domain), ordered=False)

    def opened(self, value: Any) -> tuple[Dimension, ...]:
        """Return the dimensions that a value opens."""
        return self.opens[value] if self.opens else ()

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a random value."""
        if not isinstance(self.domain, Range):
            return int(rng.integers(len(self.domain)))
        if self.domain.size:
            return int(self.domain.low) + int(rng.integers(self.domain.size))
        return self.domain.value(float(rng.random()))

    def step(self, value: Any, rng: np.random.Generator) -> Any:
        """Return another value: another choice, or one near this one in a range."""
        for _ in range(_TRIES):
            if isinstance(self.domain, Range):
                place = self.domain.unit(value) + _STEP * float(rng.normal())
                # A place beyond an end is folded back.
                other = self.domain.value(abs(place) if place < 1 else max(0.0, 2 - place))
            else:
                other = self.draw(rng)
            if other != value:
                return other
        return value

    def place(self, value: Any) -> float:
        """Return where a value lies on the axis."""
        if not isinstance(self.domain, Range):
            return int(value)
        return int(value - self.domain.low) if self.domain.size else self.domain.unit(value)

    def at(self, place: float) -> Any:
        """Return the value at a place on the axis."""
        if not isinstance(self.domain, Range):
            return int(place)
        return int(self.domain.low) + int(place) if self.domain.size else self.domain.value(float(place))

    def check(self, value: Any) -> None:
        """Raise :class:`spaniel.UsageError` where a value is none of the dimension's."""
        if isinstance(self.domain, Range):
            if not self.domain.holds(value):
                raise UsageError(f"{self.name} is a number from {self.domain.low} to {self.domain.high}, not {value!r}")
        elif type(value) is not int or not 0 <= value < len(self.domain):
            raise UsageError(f"{self.name} is the number of a choice, from 0 to {len(self.domain) - 1}, not {value!r}")


Candidate = dict[str, Any]


def every(dimensions: Sequence[Dimension]) -> Iterator[Dimension]:
    """Yield dimensions and all that any choice opens, depth first."""
    for dimension in dimensions:
        yield dimension
        for opened in dimension.opens:
            yield from every(opened)


def active(dimensions: Sequence[Dimension], candidate: Mapping[str, Any]) -> Iterator[Dimension]:
    """Yield the dimensions that a candidate has a value of.

    Raises:
        UsageError: it lacks one, or a value is none of its dimension's.
    """
    for dimension in dimensions:
        if dimension.name not in candidate:
            raise UsageError(f"the candidate has no {dimension.name}")
        dimension.check(candidate[dimension.name])
        yield dimension
        yield from active(dimension.opened(candidate[dimension.name]), candidate)


def draw(dimensions: Sequence[Dimension], rng: np.random.Generator) -> Candidate:
    """Return a random candidate."""
    made: Candidate = {}
    for dimension in dimensions:
        made[dimension.name] = dimension.draw(rng)
        made |= draw(dimension.opened(made[dimension.name]), rng)
    return made


def first(dimensions: Sequence[Dimension], given: Mapping[str, Any] | None = None) -> Candidate:
    """Return the candidate to begin with, with some values given."""
    made: Candidate = {}
    for dimension in dimensions:
        made[dimension.name] = (given or {}).get(dimension.name, dimension.first)
        made |= first(dimension.opened(made[dimension.name]), given)
    return made


def mix(
    dimensions: Sequence[Dimension], one: Mapping[str, Any], other: Mapping[str, Any], rng: np.random.Generator
) -> Candidate:
    """Return a candidate that has each value from one of two, and what a choice opens from one that has it."""
    made: Candidate = {}
    for dimension in dimensions:
        donors = (one, other) if rng.random() < 0.5 else (other, one)
        made[dimension.name] = next(donor[dimension.name] for donor in donors if dimension.name in donor)
        made |= mix(dimension.opened(made[dimension.name]), one, other, rng)
    return made


def from_point(dimensions: Sequence[Dimension], point: Mapping[str, float]) -> Candidate:
    """Return the candidate at a point."""
    made: Candidate = {}
    for dimension in dimensions:
        made[dimension.name] = dimension.at(point[dimension.name])
        made |= from_point(dimension.opened(made[dimension.name]), point)
    return made

"""The space of pipelines: an expression with holes, and every way to fill them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import Stage, UsageError, parse
from spaniel.expression import Chain, Expression
from spaniel.expression.tokens import point_out
from spaniel.pipeline.bind import bind_pipeline
from spaniel.protocols import Axis

from spaniel_search.pipelines.dimensions import Candidate, active, draw, every, first, from_point, mix
from spaniel_search.pipelines.domains import Range
from spaniel_search.pipelines.holes import Reader, fill, has_hole

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_search.config import PipelinesConfig


class Pipelines:
    """Fills the holes of an expression; a candidate is a mapping, hole → number, or number of a choice.

    The whole space is checked when it is made, before anything is loaded: the expression with its holes at what they are
    at the beginning, and with each hole in turn at both ends of its range, or at each of its choices.

    Raises:
        UsageError: one message with every fault, each with its place underlined.
    """

    def __init__(self, config: PipelinesConfig, context: Context) -> None:
        self.config = config
        self.root = parse(config.expression, holes=True)
        reader = Reader(context.registry, self.root, config.expression, config.digits)
        self._found = reader.found
        self.dimensions = reader.dimensions
        faults = list(reader.faults)
        if not faults:
            if not has_hole(self.root):
                end = len(config.expression)
                raise UsageError(point_out(config.expression, (0, end), "there is no hole `?` to fill"))
            for candidate in self._corners():
                try:
                    bind_pipeline(self._filled(candidate), context.registry)
                except UsageError as error:
                    faults += _apart(str(error))
        if faults:
            raise UsageError("\n".join(dict.fromkeys(faults)))
        self._every = tuple(every(self.dimensions))
        self.axes: Sequence[Axis] = tuple(dimension.axis for dimension in self._every)

    def first(self) -> Candidate:
        """Return the candidate in which every option is what it is by default, where it has a default in its range."""
        return first(self.dimensions)

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Return a random candidate: each value from its range, evenly, or evenly in logarithms."""
        return draw(self.dimensions, rng)

    def mutate(self, candidate: Any, rng: np.random.Generator) -> Candidate:
        """Return a candidate with one value changed; what a new choice opens is drawn."""
        able = [d for d in active(self.dimensions, candidate) if isinstance(d.domain, Range) or len(d.domain) > 1]
        if not able:
            return dict(candidate)
        dimension = able[int(rng.integers(len(able)))]
        value = dimension.step(candidate[dimension.name], rng)
        drawn = {} if isinstance(dimension.domain, Range) else draw(dimension.opened(value), rng)
        return first(self.dimensions, {**candidate, **drawn, dimension.name: value})

    def cross(self, one: Any, other: Any, rng: np.random.Generator) -> Candidate:
        """Return a candidate that has each value from one of two."""
        return mix(self.dimensions, one, other, rng)

    def validate(self, candidate: Any) -> None:
        """Check a candidate.

        Raises:
            UsageError: it is no mapping, lacks a value, has one too many, or one that is not allowed.
        """
        if not isinstance(candidate, dict):
            raise UsageError(f"a candidate is a mapping, hole → value, not {candidate!r}")
        names = {dimension.name for dimension in active(self.dimensions, candidate)}
        if candidate.keys() - names:
            raise UsageError(
                f"the candidate has {', '.join(sorted(map(str, candidate.keys() - names)))}, which is no hole"
            )

    def canonical(self, candidate: Any) -> dict[str, Any]:
        """Return the candidate with its values in the order of the holes, real ones as such."""
        return {
            d.name: float(candidate[d.name])
            if isinstance(d.domain, Range) and not d.domain.whole
            else candidate[d.name]
            for d in active(self.dimensions, candidate)
        }

    def build(self, candidate: Any, seed: int) -> Expression:
        """Return the pipeline that a candidate stands for, as an expression."""
        self.validate(candidate)
        return parse(str(self._filled(candidate)))

    def place(self, candidate: Any) -> list[float]:
        """Return the point of a candidate; holes that it does not have are where they are at the beginning."""
        return [d.place(candidate.get(d.name, d.first)) for d in self._every]

    def at(self, point: Sequence[float]) -> Candidate:
        """Return the candidate at a point."""
        return from_point(self.dimensions, {d.name: value for d, value in zip(self._every, point, strict=True)})

    def counts(self, candidate: Any) -> Mapping[str, float]:
        """Return the stages of the pipeline, the components in it, and how deep they are nested."""
        expression = self.build(candidate, 0)
        depths = list(_depths(expression, 1))
        return {"stages": len(expression.stages), "components": len(depths), "depth": max(depths)}

    def _filled(self, candidate: Mapping[str, Any]) -> Expression:
        made: Expression = fill(self.root, self._found, candidate)
        return made

    def _corners(self) -> Iterator[Candidate]:
        """Yield the candidate to begin with, and those in which one hole is at an end, or at one of its choices."""
        yield first(self.dimensions)
        above: list[tuple[Any, dict[str, Any]]] = [(dimension, {}) for dimension in self.dimensions]
        while above:
            dimension, given = above.pop(0)
            domain = dimension.domain
            for value in (domain.low, domain.high) if isinstance(domain, Range) else range(len(domain)):
                here = {**given, dimension.name: value}
                yield first(self.dimensions, here)
                above += [(opened, here) for opened in dimension.opened(value)]


def _apart(message: str) -> list[str]:
    """Return the faults of one message apart: each is a line, the expression, and the place marked in it."""
    lines = message.split("\n")
    return ["\n".join(lines[at : at + 3]) for at in range(0, len(lines), 3)] if len(lines) % 3 == 0 else [message]


def _depths(node: Any, depth: int) -> Iterator[int]:
    """Yield the depth of every component in an expression."""
    if isinstance(node, Chain):
        for stage in node.stages:
            yield from _depths(stage, depth)
    elif isinstance(node, tuple):
        for part in node:
            yield from _depths(part, depth)
    elif isinstance(node, Stage):
        yield depth
        for part in (*node.inputs, *node.options.values()):
            yield from _depths(part, depth + 1)

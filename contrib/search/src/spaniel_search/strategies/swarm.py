"""Particle swarm optimisation, along axes or by crossing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel.protocols import Axis, Coordinates

from spaniel_search.strategies.base import FAILED, Walker

_WITHOUT_AXES = 20


class ParticleSwarm(Walker):
    """Particles that are drawn to the best place each has seen, and to the best that all have seen.

    In a space with axes, equation 1 of Clerc and Kennedy 2002 with a reflecting wall: ``v ← w v + c₁ r₁ (own − x) + c₂ r₂
    (swarm − x)``; a value without order is the largest of one coordinate for each of its choices. In other spaces a
    particle crosses with its own best, then with the swarm's, and mutates now and then (Zang et al. 2020, section 3.2).
    Particles move in turn, each on what is known when it is asked for.
    """

    def begin(self) -> dict[str, Any]:
        axes = self.space.axes if isinstance(self.space, Coordinates) else None
        count = _WITHOUT_AXES if axes is None else 10 + int(2 * math.sqrt(len(axes)))
        count = self.config.particles or count
        return {"particles": [None] * count, "turn": 0, "moves": 0, "best": None, "height": FAILED}

    def next(self) -> tuple[Any, Any]:
        memory = self.memory
        turn = memory["turn"]
        memory["turn"] = (turn + 1) % len(memory["particles"])
        particle = memory["particles"][turn]
        if particle is None or particle["own"] is None or memory["best"] is None:
            return self._fresh(turn)
        memory["moves"] += 1
        if isinstance(self.space, Coordinates):
            return self._fly(particle, self.space), turn
        return self._cross(particle), turn

    def _fresh(self, turn: int) -> tuple[Any, Any]:
        candidate = self.space.sample(self.rng)
        particle: dict[str, Any] = {"own": None, "height": FAILED, "at": candidate}
        if isinstance(self.space, Coordinates):
            at = _unfold(self.space.place(candidate), self.space.axes)
            # Half the way to another random place, as in Standard PSO 2007.
            particle |= {"x": at.tolist(), "v": ((self.rng.random(len(at)) - at) / 2).tolist()}
        self.memory["particles"][turn] = particle
        return candidate, turn

    def _fly(self, particle: dict[str, Any], space: Coordinates) -> Any:
        config = self.config
        x, v = np.array(particle["x"]), np.array(particle["v"])
        own, swarm = (_unfold(space.place(best), space.axes) for best in (particle["own"], self.memory["best"]))
        pulls = config.own * self.rng.random(len(x)) * (own - x) + config.swarm * self.rng.random(len(x)) * (swarm - x)
        v = config.inertia * v + pulls
        x = x + v
        outside = (x < 0) | (x > 1)
        v = np.where(outside, -v / 2, v)
        x = np.clip(x, 0, 1)
        candidate = space.at(_fold(x, space.axes))
        particle.update(x=x.tolist(), v=v.tolist(), at=candidate)
        return candidate

    def _cross(self, particle: dict[str, Any]) -> Any:
        config, candidate = self.config, particle["at"]
        done = min(1.0, self.memory["moves"] / (config.rounds * len(self.memory["particles"])))
        to_own = config.crossing_from + (config.crossing_to - config.crossing_from) * done
        to_swarm = config.crossing_to + (config.crossing_from - config.crossing_to) * done
        if self.rng.random() < to_own:
            candidate = self.space.cross(candidate, particle["own"], self.rng)
        if self.rng.random() < to_swarm:
            candidate = self.space.cross(candidate, self.memory["best"], self.rng)
        if self.rng.random() < config.mutation:
            candidate = self.space.mutate(candidate, self.rng)
        particle["at"] = candidate
        return candidate

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        memory = self.memory
        if note is not None:
            particle = memory["particles"][note]
            if particle["own"] is None or score > particle["height"]:
                particle.update(own=candidate, height=score)
        if memory["best"] is None or score > memory["height"]:
            memory.update(best=candidate, height=score)


def _unfold(point: Any, axes: Any) -> NDArray[np.float64]:
    """Return a point in the unit cube: one coordinate an axis, or one a choice where choices have no order."""
    parts: list[float] = []
    for axis, value in zip(axes, point, strict=True):
        if axis.size and not axis.ordered:
            parts += [1.0 if choice == value else 0.0 for choice in range(axis.size)]
        else:
            parts.append((value + 0.5) / axis.size if axis.size else float(value))
    return np.array(parts)


def _fold(x: NDArray[np.float64], axes: Sequence[Axis]) -> list[float]:
    """Return the point of a place in the unit cube."""
    point: list[float] = []
    at = 0
    for axis in axes:
        width = axis.size if axis.size and not axis.ordered else 1
        if width > 1 or (axis.size and not axis.ordered):
            point.append(int(np.argmax(x[at : at + width])))
        else:
            point.append(min(int(x[at] * axis.size), axis.size - 1) if axis.size else float(x[at]))
        at += width
    return point

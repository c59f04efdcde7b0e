"""Spaces and scores whose optimum is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from spaniel import UsageError
from spaniel.protocols import Axis
from spaniel.testing import Bits


def one_max(candidate: Sequence[int]) -> float:
    """Count ones: the optimum is their number of places."""
    return float(sum(candidate))


class Nk:
    """Kauffman's NK landscape: each bit adds a random amount that depends on it and on its next ``k`` neighbours."""

    def __init__(self, n: int, k: int, seed: int) -> None:
        self.space, self.k = Bits(n), k
        self.table = np.random.default_rng(seed).random((n, 2 ** (k + 1)))
        self.optimum = max(self(candidate) for candidate in itertools.product((0, 1), repeat=n))

    def __call__(self, candidate: Sequence[int]) -> float:
        n = len(candidate)
        total = 0.0
        for place in range(n):
            window = [candidate[(place + step) % n] for step in range(self.k + 1)]
            total += self.table[place, int("".join(map(str, window)), 2)]
        return total / n


class Cube:
    """Points of the unit cube; :meth:`height` is highest, 0, at ``peak``."""

    peak = (0.3, 0.7, 0.55)
    axes = tuple(Axis(name) for name in "xyz")

    def height(self, candidate: Sequence[float]) -> float:
        return -sum((value - best) ** 2 for value, best in zip(candidate, self.peak, strict=True))

    def sample(self, rng: np.random.Generator) -> list[float]:
        return [float(value) for value in rng.random(3)]

    def mutate(self, candidate: Any, rng: np.random.Generator) -> list[float]:
        place = int(rng.integers(3))
        made = list(candidate)
        made[place] = float(np.clip(made[place] + 0.1 * rng.normal(), 0, 1))
        return made

    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> list[float]:
        return [(a if rng.random() < 0.5 else b) for a, b in zip(first, second, strict=True)]

    def validate(self, candidate: Any) -> None:
        if not isinstance(candidate, list) or len(candidate) != 3 or not all(0 <= v <= 1 for v in candidate):
            raise UsageError(f"{candidate!r} is no point")

    def canonical(self, candidate: Any) -> list[float]:
        return [float(value) for value in candidate]

    def build(self, candidate: Any, seed: int) -> Any:
        return candidate

    def place(self, candidate: Any) -> list[float]:
        return list(candidate)

    def at(self, point: Any) -> list[float]:
        return [float(value) for value in point]

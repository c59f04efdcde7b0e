"""A search space that everybody can walk: strings of bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from spaniel.errors import UsageError


class Bits:
    """Lists of ``length`` zeros and ones; building one counts its ones."""

    def __init__(self, length: int) -> None:
        self.length = length

    def sample(self, rng: np.random.Generator) -> list[int]:
        """Return a candidate; all are equally likely."""
        return [int(bit) for bit in rng.integers(2, size=self.length)]

    def mutate(self, candidate: Any, rng: np.random.Generator) -> list[int]:
        """Return the candidate with one bit turned."""
        place = int(rng.integers(self.length))
        return [bit ^ (position == place) for position, bit in enumerate(candidate)]

    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> list[int]:
        """Return the beginning of one and the end of the other."""
        place = int(rng.integers(self.length + 1))
        return [*first[:place], *second[place:]]

    def validate(self, candidate: Any) -> None:
        """Check a candidate.

        Raises:
            UsageError: it is no list of so many zeros and ones.
        """
        is_list = isinstance(candidate, list) and len(candidate) == self.length
        if not is_list or any(type(bit) is not int or bit not in (0, 1) for bit in candidate):
            raise UsageError(f"a candidate is a list of {self.length} zeros and ones, not {candidate!r}")

    def canonical(self, candidate: Any) -> list[int]:
        """Return the candidate itself."""
        return list(candidate)

    def build(self, candidate: Any, seed: int) -> int:
        """Return the number of ones."""
        return sum(candidate)

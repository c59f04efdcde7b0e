"""Permutations in text: written, read back, and repaired."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spaniel_lm.listwise.reading import find_order

SEPARATOR = " > "


@dataclass(frozen=True)
class Permutation:
    """An order that was read from text.

    Attributes:
        order: all candidates, each once, counted from 0.
        missing: those that the text left out; they come last, as they were.
        repeated: those that it named more than once; the first time counts.
        foreign: numbers that it named and that are none of them.
    """

    order: tuple[int, ...]
    missing: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    foreign: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing had to be repaired."""
        return not (self.missing or self.repeated or self.foreign)


def identifier(candidate: int) -> str:
    """Return how a candidate is named: ``[1]`` for the first."""
    return f"[{candidate + 1}]"


def write(order: tuple[int, ...] | list[int]) -> str:
    """Return an order as text: ``[2] > [1] > [3]``."""
    return SEPARATOR.join(map(identifier, order))


def read(text: str, count: int) -> Permutation:
    """Read the order of ``count`` candidates from text, and repair it; see :func:`spaniel_lm.listwise.reading.find_order`."""
    found = [number - 1 for number in find_order(text, count)]
    times = Counter(found)
    named = list(dict.fromkeys(number for number in found if 0 <= number < count))
    missing = tuple(number for number in range(count) if number not in times)
    repeated = tuple(number for number in named if times[number] > 1)
    foreign = tuple(dict.fromkeys(number for number in found if not 0 <= number < count))
    return Permutation((*named, *missing), missing, repeated, foreign)

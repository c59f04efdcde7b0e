"""What every strategy shares: seeds first, several asked before one is told, and a state that is JSON."""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from spaniel import UsageError
from spaniel.protocols import SearchSpace

FAILED = -sys.float_info.max
"""The score of a candidate that failed; a number, so that a state is JSON."""


class Walker(ABC):
    """Base of the strategies. All that changes on the way is in ``memory``, which is JSON, and in the random stream.

    A strategy implements :meth:`begin`, :meth:`next` and :meth:`learn`.
    """

    space: SearchSpace
    rng: np.random.Generator
    memory: dict[str, Any]

    def __init__(self, config: Any, context: Any) -> None:
        self.config = config
        self.context = context

    # What strategies implement

    def begin(self) -> dict[str, Any]:
        """Return the memory at the beginning."""
        return {}

    @abstractmethod
    def next(self) -> tuple[Any, Any]:
        """Return the next candidate, and a note (JSON) that comes back with its score."""

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        """Take in a score; the note of a seed is ``None``. Who does not learn leaves this as it is."""
        return

    # The protocol

    def start(self, space: SearchSpace, rng: np.random.Generator, seeds: Sequence[Any] = ()) -> None:
        """Begin a walk; the seeds are asked for first."""
        self.space, self.rng = space, rng
        for seed in seeds:
            space.validate(seed)
        self.memory = {"asked": [], "seeds": copy.deepcopy(list(seeds)), **self.begin()}

    def ask(self) -> Any:
        """Return the next candidate."""
        seeds = self.memory["seeds"]
        candidate, note = (seeds.pop(0), None) if seeds else self.next()
        self.memory["asked"].append([candidate, note])
        return copy.deepcopy(candidate)

    def tell(self, candidate: Any, score: float) -> None:
        """Take in the score of a candidate.

        Raises:
            UsageError: it was not asked for, or the score is not finite.
        """
        asked = self.memory["asked"]
        place = next((at for at, (known, _) in enumerate(asked) if known == candidate), None)
        if place is None:
            raise UsageError(f"{candidate!r} was not asked for, or has been told before")
        if not np.isfinite(score):
            raise UsageError(f"a score is a finite number, not {score}; one that failed has {FAILED}")
        known, note = asked.pop(place)
        self.learn(known, float(score), note)

    def state(self) -> Any:
        """Return the memory and the state of the random stream."""
        return copy.deepcopy({"memory": self.memory, "random": self.rng.bit_generator.state})

    def restore(self, space: SearchSpace, state: Any) -> None:
        """Go on from a state.

        Raises:
            UsageError: it is none.
        """
        try:
            rng = np.random.default_rng()
            rng.bit_generator.state = state["random"]
            memory = copy.deepcopy(dict(state["memory"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"this is no state of a walk: {error}") from error
        self.space, self.rng, self.memory = space, rng, memory

    # Helpers

    def pick(self, count: int) -> int:
        """Return a random number below ``count``."""
        return int(self.rng.integers(count))

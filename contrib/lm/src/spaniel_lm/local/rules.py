"""What bends the scores of next tokens: processors, and constraints with a state for each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaniel_lm.protocol import Constraint, Processor


class Rules:
    """Processors and constraints over the rows of a batch, which a search reorders.

    Args:
        processors: called with the tokens so far and the scores.
        constraints: one a row, or none; rows that share a constraint are worked on together.
        prompts: tokens of each row so far, ``(rows, length)``, padded on the left.
    """

    def __init__(
        self, processors: Sequence[Processor], constraints: Sequence[Constraint] | None, prompts: Tensor
    ) -> None:
        self._processors = processors
        self._history = prompts
        distinct = list({id(one): one for one in constraints or ()}.values())
        number = {id(one): at for at, one in enumerate(distinct)}
        self._constraints = distinct
        # Which constraint a row has, and which of its states.
        self._owner = np.array([number[id(one)] for one in constraints or ()], np.int64)
        self._local = np.zeros(len(self._owner), np.int64)
        self._states: list[NDArray[np.generic]] = []
        for at, constraint in enumerate(distinct):
            rows = np.flatnonzero(self._owner == at)
            self._local[rows] = np.arange(len(rows))
            self._states.append(constraint.start(len(rows)))

    @property
    def is_empty(self) -> bool:
        """Whether scores stay as they are."""
        return not self._processors and not self._constraints

    def apply(self, scores: Tensor) -> Tensor:
        """Return the scores, ``(rows, vocabulary)``, as bent; what is not allowed gets minus infinity."""
        for processor in self._processors:
            scores = processor(self._history, scores)
        if not self._constraints:
            return scores
        bent = torch.full_like(scores, float("-inf"))
        for at, constraint in enumerate(self._constraints):
            rows = np.flatnonzero(self._owner == at)
            offsets, tokens = constraint.allowed(self._states[at][self._local[rows]])
            places = torch.from_numpy(np.repeat(rows, np.diff(offsets))), torch.from_numpy(tokens.astype(np.int64))
            here = tuple(place.to(scores.device) for place in places)
            bent[here] = scores[here]
        return bent

    def select(self, rows: Tensor) -> None:
        """Keep some rows, in another order or several times."""
        if self._processors:
            self._history = self._history[rows]
        if self._constraints:
            chosen = rows.cpu().numpy()
            self._owner, taken = self._owner[chosen], self._local[chosen]
            self._local = taken.copy()
            for at in range(len(self._constraints)):
                places = np.flatnonzero(self._owner == at)
                self._states[at] = self._states[at][taken[places]]
                self._local[places] = np.arange(len(places))

    def advance(self, tokens: Tensor) -> None:
        """Tell which token each row got: ``(rows,)``."""
        if self._processors:
            self._history = torch.cat([self._history, tokens[:, None]], 1)
        chosen = tokens.cpu().numpy() if self._constraints else None
        for at, constraint in enumerate(self._constraints):
            assert chosen is not None
            rows = np.flatnonzero(self._owner == at)
            if len(rows):
                self._states[at] = constraint.advance(self._states[at], chosen[rows])


def history(prompts: Sequence[Sequence[int]], padding: int, device: torch.device) -> Tensor:
    """Return prompts as one array, padded on the left: ``(rows, length)`` int64."""
    width = max(map(len, prompts))
    return torch.tensor([[padding] * (width - len(row)) + [*row] for row in prompts], device=device)

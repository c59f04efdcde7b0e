"""Shapley values of parts of a text."""

from __future__ import annotations

from math import factorial

import numpy as np

from spaniel_explain.altering import Altering, Worth
from spaniel_explain.scoring import Scores

CHUNK = 4096
"""Sets of parts that are scored at once."""


class Shapley(Altering):
    """What a part adds to the parts before it, averaged over orders (Shapley, 1953; Lundberg and Lee, 2017, equation 4).

    All sets are scored where that is cheaper, which is exact. Else orders are drawn, each with its reverse (Castro, Gómez
    and Tejada, 2009; Mitchell et al., 2022): the sum is exact, each value has the standard error of its note.
    """

    name = "shapley"
    exact = True

    def values(self, worth: Worth, parts: int, name: str) -> tuple[Scores, Scores, list[str]]:
        """Return the values, and the score without any part."""
        if not parts:
            base = worth(np.zeros((1, 0), bool))[0]
            return np.zeros((0, len(base))), base, []
        if parts < 20 and 2**parts <= self.config.samples * (parts - 1) + 2:
            return _exact(worth, parts)
        return self._sampled(worth, parts, name)

    def _sampled(self, worth: Worth, parts: int, name: str) -> tuple[Scores, Scores, list[str]]:
        rng = self.context.rng("shapley", name)
        half = -(-self.config.samples // 2)
        drawn = np.array([rng.permutation(parts) for _ in range(half)])
        gains = []
        for order in drawn:
            steps = [_chain(worth, one, parts) for one in (order, order[::-1])]
            gains.append((steps[0] + steps[1]) / 2)
        each = np.stack(gains)
        base = worth(np.zeros((1, parts), bool))[0]
        notes = [""] * parts
        if half > 1 and each.shape[2] == 1:
            notes = [f"± {error:.4f}" for error in each[:, :, 0].std(axis=0, ddof=1) / np.sqrt(half)]
        return each.mean(axis=0), base, notes


def _chain(worth: Worth, order: np.ndarray, parts: int) -> Scores:
    """Return what each part adds, ``(parts, documents)``, when they are added in an order."""
    ranks = np.argsort(order)
    masks = np.arange(parts + 1)[:, None] > ranks[None, :]
    scores = worth(masks)
    gains = np.empty((parts, scores.shape[1]))
    gains[order] = np.diff(scores, axis=0)
    return gains


def _exact(worth: Worth, parts: int) -> tuple[Scores, Scores, list[str]]:
    sets = np.arange(2**parts)
    masks = (sets[:, None] >> np.arange(parts)) & 1 == 1
    scores = np.concatenate([worth(masks[start : start + CHUNK]) for start in range(0, len(sets), CHUNK)])
    sizes = masks.sum(axis=1)
    shares = np.array([factorial(s) * factorial(parts - s - 1) / factorial(parts) for s in range(parts)])
    values = np.empty((parts, scores.shape[1]))
    for part in range(parts):
        without = np.flatnonzero(~masks[:, part])
        gains = scores[without | (1 << part)] - scores[without]
        values[part] = shares[sizes[without]] @ gains
    return values, scores[0], [""] * parts

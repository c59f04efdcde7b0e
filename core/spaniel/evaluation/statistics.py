"""Intervals and tests over queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
EXACT_UP_TO = 14
_CHUNK = 500
_TIE = 1e-9

Floats = NDArray[np.float64]


def bootstrap_interval(values: Floats, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over queries.

    Args:
        values: ``(queries,)``.
        seed: seed of the resampling.
        level: coverage.
    """
    n = len(values)
    if n == 0:
        return (0.0, 0.0)
    rng = np.random.default_rng(seed)
    chunks = range(0, RESAMPLES, _CHUNK)
    means = np.concatenate([values[rng.integers(0, n, (_CHUNK, n))].mean(axis=1) for _ in chunks])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def randomisation_test(differences: Floats, seed: int = 0) -> float:
    """Return the two-sided p-value of a paired randomisation (sign-flip) test of a mean difference of 0.

    Exact where at most fourteen differences are not 0; otherwise by 10,000 random flips, of which the data are one more.
    """
    kept = differences[np.abs(differences) > _TIE]
    n = len(kept)
    if n == 0:
        return 1.0
    observed = abs(kept.sum()) - _TIE
    if n <= EXACT_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float((np.abs((2 * bits - 1) @ kept) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for _ in range(0, RESAMPLES, _CHUNK):
        signs = rng.integers(0, 2, (_CHUNK, n)) * 2 - 1
        extreme += int((np.abs(signs @ kept) >= observed).sum())
    return (extreme + 1) / (RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's step-down method."""
    n = len(p_values)
    corrected = [0.0] * n
    largest = 0.0
    for step, at in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (n - step) * p_values[at]))
        corrected[at] = largest
    return corrected


def wins(differences: Floats) -> tuple[int, int, int]:
    """Return on how many queries the difference is above, at, and below 0."""
    above, below = int((differences > _TIE).sum()), int((differences < -_TIE).sum())
    return above, len(differences) - above - below, below

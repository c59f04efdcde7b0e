"""Intervals and paired tests over queries, computed for several measures and systems at once.

Smucker, Allan and Carterette (CIKM 2007) compare the tests; Sakai (2014) argues for effect sizes beside p-values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
EXACT_UP_TO = 14
"""Differences other than 0 up to which every assignment of signs is tried."""
TIE = 1e-9
"""What differs by no more than this is equal."""
_CELLS = 4_000_000
"""Draws held at once: resamples are made in chunks, so that memory does not grow with their number."""

Floats = NDArray[np.float64]


def bootstrap_intervals(values: Floats, seed: int = 0, level: float = 0.95) -> Floats:
    """Return percentile bootstrap intervals of means over queries, all from the same resamples.

    Args:
        values: ``(rows, queries)``, a row for each measure of each system.
        seed: seed of the resampling.
        level: coverage, above 0 and below 1.

    Returns:
        ``(rows, 2)``, lower and upper ends; 0 where there are no queries.
    """
    rows, n = values.shape
    if n == 0 or rows == 0:
        return np.zeros((rows, 2))
    rng = np.random.default_rng(seed)
    means = [_drawn(rng, size, n) @ values.T / n for size in _chunks(n)]
    ends = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.ascontiguousarray(ends.T)


def randomisation_tests(differences: Floats, seed: int = 0) -> Floats:
    """Return the two-sided p-values of paired randomisation tests: is the mean difference 0?

    Under the hypothesis each difference has either sign with equal chance. Where at most :data:`EXACT_UP_TO` of them are
    not 0 every assignment of signs is tried, which is exact; else :data:`RESAMPLES` random ones, of which the observed
    one is one more, so that no p-value is 0. All rows see the same signs: a p-value does not depend on what else is
    compared.

    Args:
        differences: ``(rows, queries)``, a row for each measure of each pair of systems.
        seed: seed of the signs.
    """
    kept = np.where(np.abs(differences) > TIE, differences, 0.0)
    # Sums of the same numbers in another order may differ in their last bits, and must count as equal.
    observed = np.abs(kept.sum(axis=1)) - 1e-12 * np.abs(kept).sum(axis=1)
    p_values = np.ones(len(kept))
    exact = (kept != 0).sum(axis=1) <= EXACT_UP_TO
    for row in np.flatnonzero(exact):
        changed = kept[row][kept[row] != 0]
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(changed))[:, None] >> np.arange(len(changed))) & 1)
        p_values[row] = (np.abs(signs @ changed) >= observed[row]).mean()
    drawn = np.flatnonzero(~exact)
    if len(drawn):
        rng = np.random.default_rng(seed)
        extreme = np.zeros(len(drawn), np.int64)
        for size in _chunks(kept.shape[1]):
            signs = 1.0 - 2.0 * rng.integers(0, 2, (size, kept.shape[1]), dtype=np.int8)
            extreme += (np.abs(signs @ kept[drawn].T) >= observed[drawn]).sum(axis=0)
        p_values[drawn] = (extreme + 1) / (RESAMPLES + 1)
    return p_values


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Return p-values corrected for their number by Holm's step-down method (1979), which holds for dependent tests."""
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)))
    return corrected


def win_tie_loss(differences: Floats) -> tuple[int, int, int]:
    """Return on how many queries the difference is above, at (within :data:`TIE`), and below 0."""
    above, below = int((differences > TIE).sum()), int((differences < -TIE).sum())
    return above, len(differences) - above - below, below


def effect_size(differences: Floats) -> float | None:
    """Return the mean difference in standard deviations of the differences (Cohen's d of paired samples).

    ``None`` where that is not defined: of fewer than two queries, or where all differences are equal and not 0.
    """
    if len(differences) < 2:
        return None
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation <= TIE:
        return 0.0 if abs(mean) <= TIE else None
    return mean / deviation


def _chunks(n: int) -> Iterator[int]:
    size = max(1, _CELLS // n)
    for start in range(0, RESAMPLES, size):
        yield min(size, RESAMPLES - start)


def _drawn(rng: np.random.Generator, size: int, n: int) -> Floats:
    """Draw ``n`` of ``n`` queries with replacement, ``size`` times; return how often each was drawn: ``(size, n)``."""
    cells = rng.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
    return np.bincount(cells.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)

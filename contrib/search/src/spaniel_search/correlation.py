"""How well cheap scores rank candidates: Kendall's tau-b, Spearman's rho and Pearson's r, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_search.ranks import agreement

RESAMPLES = 1000
ALL = "all"
COEFFICIENTS = ("tau", "rho", "r")
_LEAST = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """How a proxy agrees with the scores in a stratum.

    Attributes:
        proxy: its name.
        trivial: whether it is one of the sizes that every proxy has to beat.
        stratum: the candidates that are looked at, ``"all"`` or a value of the stratifying column.
        n: how many they are.
        tau, rho, r: Kendall's tau-b, Spearman's rho, Pearson's r; ``None`` where one side is constant or there are fewer
            than three candidates.
        intervals: coefficient → ends of its percentile bootstrap interval at 95 %.
    """

    proxy: str
    trivial: bool
    stratum: str
    n: int
    tau: float | None
    rho: float | None
    r: float | None
    intervals: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def correlate(
    scores: Sequence[float],
    proxies: Mapping[str, Sequence[float]],
    trivial: Mapping[str, Sequence[float]] | None = None,
    *,
    strata: Sequence[Any] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Correlation]:
    """Return how each proxy, and each trivial one beside them, agrees with the scores.

    All proxies see the same resamples of a stratum. Signs are turned beforehand for proxies of which less is better.

    Args:
        scores: ``(n,)``, what the candidates are worth.
        proxies: name → ``(n,)``.
        trivial: the same for sizes (parameters, depth, FLOPs).
        strata: ``(n,)``, values by which candidates are looked at apart, too.
        seed: seed of the resampling.
        resamples: how many; 0 leaves the intervals out.

    Returns:
        For all candidates, then for each stratum: one a proxy, the trivial ones last.

    Raises:
        UsageError: lengths differ, or a value is not finite.
    """
    worth = _checked("the scores", scores, len(scores))
    columns = [(name, False, _checked(name, values, len(worth))) for name, values in proxies.items()]
    columns += [(name, True, _checked(name, values, len(worth))) for name, values in (trivial or {}).items()]
    masks = [(ALL, np.ones(len(worth), bool))]
    if strata is not None:
        if len(strata) != len(worth):
            raise UsageError(f"{len(strata)} strata for {len(worth)} candidates")
        told = np.array([str(stratum) for stratum in strata])
        masks += [(str(stratum), told == stratum) for stratum in dict.fromkeys(told.tolist())]
    made = []
    for stratum, mask in masks:
        count = int(mask.sum())
        draws = _draws(count, resamples, seed) if count >= _LEAST else np.zeros((0, count), np.int64)
        made += [
            _one(name, is_trivial, stratum, values[mask], worth[mask], draws) for name, is_trivial, values in columns
        ]
    return made


def _one(name: str, trivial: bool, stratum: str, x: Floats, y: Floats, draws: NDArray[np.int64]) -> Correlation:
    n = len(x)
    if n < _LEAST:
        return Correlation(name, trivial, stratum, n, None, None, None, {})
    found = agreement(x, y, np.vstack([np.arange(n), draws]))
    values = [None if np.isnan(value) else float(value) for value in found[0]]
    intervals = {}
    for at, coefficient in enumerate(COEFFICIENTS):
        # A resample in which one side is constant has no coefficient.
        known = found[1:, at][~np.isnan(found[1:, at])]
        if values[at] is not None and len(known):
            low, high = np.quantile(known, [0.025, 0.975])
            intervals[coefficient] = (float(low), float(high))
    return Correlation(name, trivial, stratum, n, values[0], values[1], values[2], intervals)


def _draws(n: int, resamples: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def _checked(name: str, values: Sequence[float], n: int) -> Floats:
    made = np.asarray(values, np.float64)
    if made.shape != (n,):
        raise UsageError(f"{name}: {made.shape} values for {n} candidates")
    if not np.isfinite(made).all():
        place = int(np.flatnonzero(~np.isfinite(made))[0])
        raise UsageError(f"{name}: the value of candidate {place} is {made[place]}; leave such candidates out")
    return made


def correlation_table(found: Sequence[Correlation]) -> list[list[str]]:
    """Return correlations as rows of text, a head first; trivial proxies are marked."""
    rows = [["stratum", "n", "proxy", "tau-b", "", "rho", "", "r", ""]]
    for one in found:
        cells = [one.stratum, str(one.n), f"{one.proxy} (trivial)" if one.trivial else one.proxy]
        for name in COEFFICIENTS:
            value, ends = getattr(one, name), one.intervals.get(name)
            cells += ["–" if value is None else f"{value:+.3f}", f"[{ends[0]:+.2f}, {ends[1]:+.2f}]" if ends else ""]
        rows.append(cells)
    return rows

"""What dimension bounds: the margin theorem, and the fitted curve of critical numbers of documents."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, exp, expm1, lgamma, log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

_PUBLISHED = (
    10, 14, 19, 24, 28, 32, 36, 42, 47, 54, 62, 70, 79, 89, 99, 109, 120, 132, 144, 157, 170, 184, 198, 213, 229, 245, 261,
    278, 296, 314, 333, 352, 372, 392, 413, 434, 460, 484, 505, 545, 605, 626,
)  # fmt: skip
PUBLISHED_CRITICAL: dict[int, int] = dict(enumerate(_PUBLISHED, 4))
"""Dimension → documents of which every pair was returned by free embeddings (the paper's appendix)."""
PUBLISHED_CUBIC = (-10.5322, 4.0309, 0.0520, 0.0037)
"""The published fit: constant, linear, quadratic, cubic."""


class Cubic(NamedTuple):
    """A polynomial of the third degree that was fitted by least squares.

    Attributes:
        coefficients: constant, linear, quadratic, cubic.
        r2: share of the variance that it explains.
    """

    coefficients: tuple[float, float, float, float]
    r2: float

    def __call__(self, d: float) -> float:
        """Return the number of documents at a dimension."""
        return float(np.polynomial.polynomial.polyval(d, self.coefficients))


def log_combinations(n: int, k: int) -> float:
    """Return the natural logarithm of the number of sets of ``k`` among ``n``.

    Raises:
        UsageError: there are none.
    """
    if not 0 <= k <= n:
        raise UsageError(f"there are no sets of {k} among {n} documents")
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def least_dimension(n: int, k: int, margin: float) -> int:
    """Return the dimension below which unit vectors cannot return every set of ``k`` among ``n`` with a margin.

    ``d >= ln C(n, k) / ln(1 + 1 / margin)``: the margin theorem of the paper's second version.

    Raises:
        UsageError: the margin is not above 0, or there are no such sets.
    """
    if not margin > 0:
        raise UsageError(f"a margin is above 0, not {margin}")
    return ceil(log_combinations(n, k) / log1p(1 / margin))


def largest_margin(n: int, k: int, d: int) -> float:
    """Return the margin above which the theorem rules out every set of ``k`` among ``n`` in ``d`` dimensions.

    At most 2, which is as far as the scores of unit vectors lie apart.
    """
    exponent = log_combinations(n, k) / max(1, d)
    if exponent > 700:
        return exp(-exponent)
    return min(2.0, 1 / expm1(exponent)) if exponent > 0 else 2.0


def loss_floor(k: int) -> float:
    """Return the lowest possible loss of the free embeddings: the target of a set is spread over ``k`` documents."""
    return log(k)


def fit_cubic(points: Mapping[int, int]) -> Cubic:
    """Fit documents by dimension, least squares.

    Raises:
        UsageError: there are fewer than four points.
    """
    if len(points) < 4:
        raise UsageError(f"a cubic needs 4 points or more, not {len(points)}")
    d = np.array(list(points), np.float64)
    n: NDArray[np.float64] = np.array(list(points.values()), np.float64)
    coefficients = np.polynomial.polynomial.polyfit(d, n, 3)
    rest = n - np.polynomial.polynomial.polyval(d, coefficients)
    return Cubic(tuple(coefficients.tolist()), 1 - float(rest @ rest) / float(((n - n.mean()) ** 2).sum()))

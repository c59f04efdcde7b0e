"""Where on a path gradients are taken, and how they are weighed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def nodes(rule: str, steps: int) -> tuple[Floats, Floats]:
    """Return places on [0, 1] and their weights, whose sum is 1.

    ``gauss-legendre`` is exact for polynomials up to degree ``2 · steps - 1``; the error of ``midpoint`` and ``trapezoid``
    shrinks with the square of the steps on smooth paths.
    """
    if rule == "gauss-legendre":
        places, weights = np.polynomial.legendre.leggauss(steps)
        return (places + 1) / 2, weights / 2
    if rule == "midpoint" or steps == 1:
        return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights

"""Smoothing gradients over positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_REACH = 3.0
"""Standard deviations after which a kernel is cut off."""


def smooth(gradients: NDArray[Any], shape: tuple[int, ...], how: str, sigma: float, sigma_range: float) -> NDArray[Any]:
    """Smooth maps over their positions.

    Args:
        gradients: ``(maps, positions)``.
        shape: of the positions: ``(tokens,)``, or ``(height, width)``.
        how: ``"gaussian"``, mirrored at the edges so that mass stays (scipy's ``reflect``); ``"bilateral"``: the same,
            where neighbours with other values count less; ``"none"``.
        sigma: in positions.
        sigma_range: of the bilateral filter: in shares of the map's range.
    """
    if how == "none" or not gradients.size:
        return gradients
    maps = np.asarray(gradients, np.float64).reshape(-1, *shape)
    if how == "gaussian":
        from scipy.ndimage import gaussian_filter

        axes = tuple(range(1, maps.ndim))
        smoothed = gaussian_filter(maps, sigma, mode="reflect", truncate=_REACH, axes=axes)
    else:
        smoothed = np.stack([_bilateral(one, sigma, sigma_range) for one in maps])
    return np.asarray(smoothed.reshape(gradients.shape))


def _bilateral(values: NDArray[np.float64], sigma: float, sigma_range: float) -> NDArray[np.float64]:
    """Tomasi and Manduchi, Bilateral filtering for gray and color images, ICCV 1998, equation 2."""
    spread = sigma_range * float(np.ptp(values))
    if spread == 0:
        return values
    reach = int(_REACH * sigma + 0.5)
    # A map smaller than the kernel is mirrored several times.
    padded = np.pad(values, reach, mode="symmetric")
    total, weights = np.zeros_like(values), np.zeros_like(values)
    for shift in np.ndindex(*(2 * reach + 1,) * values.ndim):
        window = tuple(slice(at, at + size) for at, size in zip(shift, values.shape, strict=True))
        near = sum((at - reach) ** 2 for at in shift)
        weight = np.exp(-near / (2 * sigma**2) - (padded[window] - values) ** 2 / (2 * spread**2))
        total += weight * padded[window]
        weights += weight
    return total / weights

"""Channels of a layer: the dominant ones, clusters of the others, and noise (He et al., 2025, steps 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaniel_cf_cam.config import MapConfig

DOMINANT, NOISE, DEAD = -2, -1, -3
_FLOOR = 1e-5
"""Least distance that DBSCAN takes for near."""


@dataclass(frozen=True, eq=False)
class Channels:
    """What each channel is.

    Attributes:
        labels: ``(channels,)`` int64: :data:`DOMINANT`, :data:`NOISE`, :data:`DEAD` (never active), or a cluster's
            number from 0 on.
        eps: the distance that was taken for near; NaN where nothing was clustered.
    """

    labels: NDArray[np.int64]
    eps: float

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max(initial=-1)) + 1

    def facts(self) -> dict[str, Any]:
        """Return what readers of a map should know."""
        counts = {name: int((self.labels == label).sum()) for name, label in _NAMES.items()}
        return {**counts, "clusters": self.clusters, "eps": None if np.isnan(self.eps) else self.eps}


_NAMES = {"dominant": DOMINANT, "noise": NOISE, "dead": DEAD}


def sort_channels(activations: NDArray[Any], config: MapConfig) -> Channels:
    """Sort channels by what they do, not by any score: one sorting serves every class and every draw of noise.

    Channels whose norm reaches a percentile of all are dominant. DBSCAN clusters the others by their Euclidean distances,
    with a percentile of these as its radius; what is in no cluster is noise. Channels that are zero everywhere are left
    out first, since they would be one cluster at distance 0 and draw the radius down.

    Args:
        activations: ``(channels, positions)``.
    """
    from scipy.spatial.distance import pdist, squareform
    from sklearn.cluster import DBSCAN

    values = np.asarray(activations, np.float64)
    norms = np.linalg.norm(values, axis=1)
    labels = np.full(len(values), DEAD, np.int64)
    alive = np.flatnonzero(norms > 0)
    if not len(alive):
        return Channels(labels, float("nan"))
    is_dominant = norms >= np.percentile(norms[alive], config.dominant_percentile)
    labels[is_dominant & (norms > 0)] = DOMINANT
    rest = alive[~is_dominant[alive]]
    if len(rest) < 2:
        labels[rest] = NOISE
        return Channels(labels, float("nan"))
    distances = pdist(values[rest])
    eps = max(float(np.percentile(distances, config.eps_percentile)), _FLOOR)
    samples = max(2, int(config.min_samples * len(rest)))
    found = DBSCAN(eps=eps, min_samples=samples, metric="precomputed").fit(squareform(distances))
    labels[rest] = found.labels_
    return Channels(labels, eps)

"""Which documents are anchors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RANK = 1e-6


def choose_anchors(features: NDArray[Any], count: int, how: str, seed: int) -> NDArray[np.int64]:
    """Choose documents, ``(min(count, n),)`` int64 positions, ascending.

    Args:
        features: ``(n, dimensions)``, a document's scores with the anchor queries.
        count: how many.
        how: ``"random"``; ``"kmeans"``: the documents nearest to the centres of k-means; ``"leverage"``: at random, in
            proportion to the leverage in the ``count`` first right singular vectors (Mahoney and Drineas, CUR matrix
            decompositions for improved data analysis, PNAS 2009).
    """
    rng = np.random.default_rng(seed)
    count = min(count, len(features))
    chosen = np.zeros(0, np.int64)
    if how == "kmeans" and 0 < count < len(features):
        chosen = _centres(np.asarray(features, np.float32), count, rng)
    elif how == "leverage" and 0 < count < len(features):
        drawn = np.log(_leverages(np.asarray(features, np.float64), count)) + rng.gumbel(size=len(features))
        chosen = np.argsort(-drawn, kind="stable")[:count]
    left = np.setdiff1d(np.arange(len(features)), chosen)
    more = rng.choice(left, count - len(chosen), replace=False)
    return np.sort(np.concatenate([chosen, more]))


def _centres(features: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the document nearest to each centre; fewer than ``count`` where one is nearest to several."""
    from scipy.cluster.vq import kmeans2
    from scipy.spatial import cKDTree

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters that ran empty: their centres are left where they were
        centres, _ = kmeans2(features, count, minit="++", seed=rng)
    _, nearest = cKDTree(features).query(centres)
    return np.unique(np.asarray(nearest, np.int64))


def _leverages(features: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Return the leverage of each document in the space of the first ``rank`` singular vectors, all above zero."""
    values, vectors = np.linalg.eigh(features.T @ features)
    kept = values > _RANK * max(float(values[-1]), np.finfo(np.float64).tiny)
    kept[: max(0, len(values) - rank)] = False
    projected = features @ (vectors[:, kept] / np.sqrt(values[kept]))
    return np.asarray((projected**2).sum(axis=1) + np.finfo(np.float64).tiny)

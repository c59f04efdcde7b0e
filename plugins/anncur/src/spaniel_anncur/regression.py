"""A query's vector from scores seen: ``scores ≈ features · vector``.

The features of a document are its scores with the anchor queries, or its fitted vector. A CUR decomposition estimates a
query's scores by ``e (U R)``, where ``e`` holds its scores with the anchor documents, ``R`` the scores of the anchor
queries with all documents, and ``U`` is the pseudo-inverse of R's columns of the anchors (Yadav et al., EMNLP 2022, §2.2).
That is ``(e U) R``: the query is regressed on the anchor queries. In this form any documents can be anchors, for each
query others, and only the documents that are asked for need a product.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_SQUARABLE = 1e-6
"""Cut-off from which singular values may be had from their squares, which takes a third of the time."""
_EPSILON = 1e-15
_TINY = float(np.finfo(np.float64).tiny)


class Solver(NamedTuple):
    """How vectors are fitted.

    Attributes:
        how: ``"pinv"``: of all that fit best, the shortest; ``"ridge"``: with a penalty on the length; ``"direct"``: none,
            the scores are the vector.
        rcond: of pinv: singular values below this share of the largest count as zero.
        ridge: of ridge: the penalty, in units of the mean squared feature, ``trace(F Fᵀ) / dimensions``.
    """

    how: str = "pinv"
    rcond: float = 1e-2
    ridge: float = 1e-2

    def fit(self, features: NDArray[np.floating], scores: NDArray[np.floating]) -> Vector:
        """Fit one vector a query.

        Args:
            features: ``(queries, seen, dimensions)``, or ``(seen, dimensions)`` where all queries saw the same documents;
                lines of zeros, with scores of zero, count for nothing.
            scores: ``(queries, seen)``.

        Returns:
            ``(queries, dimensions)`` float64.
        """
        seen, values = features.astype(np.float64), scores.astype(np.float64)
        if self.how == "direct":
            return values[:, : seen.shape[-1]]
        if seen.shape[-2] == 0:
            return np.zeros((len(values), seen.shape[-1]))
        count, dimensions = seen.shape[-2:]
        if self.how == "pinv" and self.rcond < _SQUARABLE:
            return _apply(np.asarray(np.linalg.pinv(seen, rcond=self.rcond), np.float64), values)
        # The smaller of the two systems: in the space of the documents seen, or in that of the features.
        turned, small = np.swapaxes(seen, -1, -2), count < dimensions
        product = seen @ turned if small else turned @ seen
        given = values if small else _apply(turned, values)
        if self.how == "ridge":
            weight = self.ridge * np.einsum("...sd,...sd->...", seen, seen) / dimensions
            # A query that saw nothing but zeros has the vector zero.
            weight = np.where(weight > 0, weight, 1.0)[..., None, None]
            inverse = np.linalg.inv(product + weight * np.eye(product.shape[-1]))
            made = _apply(np.asarray(inverse, np.float64), given)
        else:
            squares, axes = np.linalg.eigh(product)
            kept = squares > max(self.rcond**2, _EPSILON) * squares[..., -1:].clip(min=_TINY)
            along = _apply(np.swapaxes(axes, -1, -2), given)
            made = _apply(axes, np.where(kept, along / np.where(kept, squares, 1.0), 0.0))
        return _apply(turned, made) if small else made


def _apply(matrix: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one matrix, or one a query, times the vectors of the queries."""
    if matrix.ndim == 2:
        return vectors @ matrix.T
    return np.asarray((matrix @ vectors[..., None])[..., 0])

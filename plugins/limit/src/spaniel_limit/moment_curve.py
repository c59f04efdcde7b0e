"""Points of which a plane cuts off every set of ``k``: the trigonometric moment curve in ``2k`` dimensions.

A document at the angle t is ``(cos t, sin t, …, cos kt, sin kt) / sqrt(k)``. The query for documents at the angles ``a_j``
scores ``-prod_j (1 - cos(t - a_j))`` up to a constant: 0 for them, below 0 for all others. So the rank of the matrix of
all sets of ``k`` does not grow with the documents; what shrinks is the margin (Gale, 1963, on cyclic polytopes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def document_vectors(angles: Floats, k: int) -> Floats:
    """Return the documents at some angles: ``(documents, 2k)``, of length 1."""
    multiples = np.asarray(angles, np.float64)[:, None] * np.arange(1, k + 1)
    pairs: Floats = np.stack([np.cos(multiples), np.sin(multiples)], axis=2)
    made: Floats = pairs.reshape(len(multiples), 2 * k) / np.sqrt(k)
    return made


def query_vectors(angles: Floats) -> Floats:
    """Return the queries whose first documents are those at some angles, ``(queries, k)``: ``(queries, 2k)``, of length 1.

    An angle may come twice, for a query with fewer documents. ``1 - cos(t - a)`` is ``|z - w|^2 / 2`` for the unit
    numbers ``z, w`` at ``t, a``; the product over j is a trigonometric polynomial whose coefficients are the
    autocorrelation of those of ``prod_j (z - w_j)``.
    """
    roots = np.exp(1j * np.asarray(angles, np.float64))
    queries, k = roots.shape
    coefficients = np.zeros((queries, k + 1), np.complex128)
    coefficients[:, 0] = 1
    for column in range(k):
        coefficients[:, 1:] -= roots[:, column, None] * coefficients[:, :-1].copy()
    # Highest power first: coefficients[i] belongs to the power k - i.
    lags = np.stack(
        [(coefficients[:, : k + 1 - lag] * coefficients[:, lag:].conj()).sum(axis=1) for lag in range(1, k + 1)], axis=1
    )
    vectors = np.stack([-lags.real, lags.imag], axis=2).reshape(queries, 2 * k)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def even_angles(n: int) -> Floats:
    """Return ``n`` angles, evenly around the circle."""
    return 2 * np.pi * np.arange(n) / n

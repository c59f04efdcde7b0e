"""Kendall's tau-b, Spearman's rho and Pearson's r of many resamples, compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLOCK = 2**20
"""Numbers sorted at once."""


def agreement(x: Floats, y: Floats, draws: NDArray[np.int64]) -> Floats:
    """Return the three coefficients of each resample.

    Args:
        x, y: ``(n,)``.
        draws: ``(m, n)`` positions.

    Returns:
        ``(m, 3)``: tau-b, rho, r; NaN where one side is constant.
    """
    dense_x = np.unique(x, return_inverse=True)[1].astype(np.int64)
    dense_y = np.unique(y, return_inverse=True)[1].astype(np.int64)
    keys = dense_x * (dense_y.max() + 1) + dense_y
    found = np.empty((len(draws), 3))
    # Sorted here: code that numba keeps on disk must not sort, since its sorting functions of several kinds have one name.
    step = max(1, _BLOCK // max(1, len(x)))
    for start in range(0, len(draws), step):
        part = np.ascontiguousarray(draws[start : start + step], np.int64)
        orders = np.argsort(keys[part], axis=1, kind="stable")
        found[start : start + step] = _agreement(x, y, dense_x, dense_y, part, orders)
    return found


@njit(cache=True, nogil=True)
def _agreement(x, y, dense_x, dense_y, draws, orders):  # type: ignore[no-untyped-def]
    m = len(draws)
    out = np.empty((m, 3))
    for row in range(m):
        at = draws[row]
        out[row, 0] = _tau(dense_x[at], dense_y[at], orders[row], dense_y.max() + 1)
        ranks_x, ranks_y = _ranks(dense_x[at], dense_x.max() + 1), _ranks(dense_y[at], dense_y.max() + 1)
        out[row, 1] = _pearson(ranks_x, ranks_y)
        out[row, 2] = _pearson(x[at], y[at])
    return out


@njit(cache=True, nogil=True)
def _tau(x, y, order, width_y):  # type: ignore[no-untyped-def]
    """Tau-b = (concordant − discordant) / √((all − ties in x)(all − ties in y)), Kendall 1945.

    Pairs are counted as in Knight 1966, with a Fenwick tree over y in place of his merge sort: by ascending x, each item
    is concordant with the smaller y before it and discordant with the larger, those of equal x left out.
    """
    n = len(x)
    tree = np.zeros(width_y + 1, np.int64)
    counts_y = np.zeros(width_y, np.int64)
    balance, ties_x, ties_y = 0, 0, 0
    start = 0
    while start < n:
        end = start
        while end < n and x[order[end]] == x[order[start]]:
            end += 1
        size = end - start
        ties_x += size * (size - 1) // 2
        for at in range(start, end):
            value = y[order[at]]
            below, up_to = _sum(tree, value), _sum(tree, value + 1)
            balance += below - (start - up_to)
        for at in range(start, end):
            value = y[order[at]]
            counts_y[value] += 1
            node = value + 1
            while node <= width_y:
                tree[node] += 1
                node += node & -node
        start = end
    for count in counts_y:
        ties_y += count * (count - 1) // 2
    pairs = n * (n - 1) // 2
    if pairs in (ties_x, ties_y):
        return np.nan
    tau = balance / math.sqrt(float(pairs - ties_x) * float(pairs - ties_y))
    return min(max(tau, -1.0), 1.0)


@njit(cache=True, nogil=True)
def _sum(tree, end):  # type: ignore[no-untyped-def]
    total = 0
    while end > 0:
        total += tree[end]
        end -= end & -end
    return total


@njit(cache=True, nogil=True)
def _ranks(dense, width):  # type: ignore[no-untyped-def]
    """Ranks, the mean of their places for equals."""
    counts = np.zeros(width, np.int64)
    for value in dense:
        counts[value] += 1
    middle = np.empty(width)
    below = 0
    for value in range(width):
        middle[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    ranks = np.empty(len(dense))
    for at in range(len(dense)):
        ranks[at] = middle[dense[at]]
    return ranks


@njit(cache=True, nogil=True)
def _pearson(x, y):  # type: ignore[no-untyped-def]
    if x.min() == x.max() or y.min() == y.max():
        return np.nan
    a, b = x - x.mean(), y - y.mean()
    return (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())

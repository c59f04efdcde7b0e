"""The two inner loops of matching pursuit, compiled: the best atom of a block, and a step of Gram-Schmidt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Numbers = NDArray[Any]
_SUMS = {"reassoc", "contract", "nsz"}
"""What the compiler may do to floating point arithmetic: add in another order."""
_BLOCK = 128


@njit(cache=True, nogil=True, parallel=True, fastmath=_SUMS)
def scan(products: Numbers, start: int, used: Numbers, best: Numbers, chosen: Numbers) -> None:
    """Take the largest product of each row, in size, where it is larger than the best so far; of equal ones the first.

    Args:
        products: ``(rows, block)``, inner products with the atoms from ``start`` on; those of used atoms become 0.
        start: number of the first atom.
        used: ``(rows, steps)`` int64, atoms that are not to be taken.
        best: ``(rows,)``, of the blocks before; changed.
        chosen: ``(rows,)`` int64, their atoms; changed.
    """
    rows, width = products.shape
    for row in prange(rows):
        line = products[row]
        for step in range(used.shape[1]):
            place = used[row, step] - start
            if 0 <= place < width:
                line[place] = 0
        for low in range(0, width, _BLOCK):
            high = min(low + _BLOCK, width)
            most = line[low] * 0
            for place in range(low, high):
                most = max(most, abs(line[place]))
            if most > best[row]:
                for place in range(low, high):
                    if abs(line[place]) > best[row]:
                        best[row] = abs(line[place])
                        chosen[row] = start + place


@njit(cache=True, nogil=True, parallel=True, fastmath=_SUMS)
def extend(
    rows: Numbers,
    atoms: Numbers,
    chosen: Numbers,
    step: int,
    least: float,
    basis: Numbers,
    triangle: Numbers,
    projections: Numbers,
    residual: Numbers,
    indices: Numbers,
) -> None:
    """Add the chosen atom of each row to its basis, by modified Gram-Schmidt done twice, and take it off the residual.

    An atom of which no more than the share ``least`` lies outside the span is left out, and nothing is changed.

    Args:
        rows: ``(n,)`` int64, the targets that go on.
        atoms: ``(atoms, dimensions)``.
        chosen: ``(n,)`` int64.
        step: atoms that each row has.
        least: see above.
        basis: ``(targets, k, dimensions)``; changed, as the rest is.
        triangle: ``(targets, k, k)``.
        projections: ``(targets, k)``.
        residual: ``(targets, dimensions)``.
        indices: ``(targets, k)`` int64.
    """
    size = atoms.shape[1]
    for at in prange(len(rows)):
        row = rows[at]
        outside = atoms[chosen[at]].copy()
        whole = np.sqrt((outside * outside).sum())
        inside = np.zeros(step, outside.dtype)
        for _ in range(2):
            for i in range(step):
                direction = basis[row, i]
                share = outside[0] * 0
                for d in range(size):
                    share += direction[d] * outside[d]
                for d in range(size):
                    outside[d] -= share * direction[d]
                inside[i] += share
        rest = np.sqrt((outside * outside).sum())
        if rest <= least * whole:
            continue
        length = outside[0] * 0
        for d in range(size):
            outside[d] /= rest
            length += outside[d] * residual[row, d]
        for d in range(size):
            residual[row, d] -= length * outside[d]
            basis[row, step, d] = outside[d]
        for i in range(step):
            triangle[row, i, step] = inside[i]
        triangle[row, step, step] = rest
        projections[row, step] = length
        indices[row, step] = chosen[at]

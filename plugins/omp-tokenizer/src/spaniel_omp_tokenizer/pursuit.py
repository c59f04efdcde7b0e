"""Orthogonal matching pursuit for many targets at once (Pati et al., 1993)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spaniel_omp_tokenizer.kernels import extend, scan

SCORES = 2**20
"""Inner products held at once: 4 MB in float32, whatever the number of atoms."""
_DEPENDENT = 1e-6
"""An atom of which less than this share lies outside the span of those chosen adds nothing but rounding."""


@dataclass(frozen=True, eq=False)
class Pursuit:
    """What was chosen for each target, in the order of choosing.

    Attributes:
        indices: ``(targets, k)`` int64, numbers of atoms; -1 behind the end of a row that stopped early.
        triangle: ``(targets, k, k)``: R of the chosen atoms' QR decomposition; the identity behind the end.
        projections: ``(targets, k)``: the targets in the orthonormal basis; 0 behind the end.
        norms: ``(targets, k + 1)``: of the residual before the first step and after each.
    """

    indices: Tensor
    triangle: Tensor
    projections: Tensor
    norms: Tensor

    def weights(self, k: int | None = None) -> tuple[Tensor, Tensor]:
        """Return atoms and coefficients, ``(targets, k)`` each: least squares on the first ``k`` atoms chosen.

        Unused places have the atom 0 and the coefficient 0.
        """
        size = self.indices.shape[1] if k is None else min(k, self.indices.shape[1])
        right = self.projections[:, :size, None]
        made = torch.linalg.solve_triangular(self.triangle[:, :size, :size], right, upper=True)[..., 0]
        return self.indices[:, :size].clamp_min(0), made


def pursue(targets: Tensor, atoms: Tensor, k: int, *, normalise: bool = False, tolerance: float = 1e-6) -> Pursuit:
    """Choose up to ``k`` atoms for each target.

    The atom of the largest inner product with the residual is chosen, in size; of equal ones the first. A row stops where
    its residual is below ``tolerance`` of the target, or the chosen atom lies in the span of the earlier ones: the rank is
    never exceeded. Each atom is orthogonalised twice (Giraud et al., 2005), so that hundreds of steps do not drift.

    Args:
        targets: ``(targets, dimensions)`` float32 or float64.
        atoms: ``(atoms, dimensions)``, of the same dtype.
        k: atoms chosen at most.
        normalise: whether atoms are chosen by angle; coefficients are those of the atoms as given all the same.
        tolerance: relative size of a residual that counts as none.

    Raises:
        ValueError: there are fewer than ``k`` atoms.
    """
    if k > len(atoms):
        raise ValueError(f"{k} of {len(atoms)} atoms cannot be chosen")
    count, dimensions = targets.shape
    lengths = atoms.norm(dim=1)
    compared = atoms / lengths.clamp_min(1e-30)[:, None] if normalise else atoms
    basis = targets.new_zeros(count, k, dimensions)
    triangle = torch.eye(k, dtype=targets.dtype).repeat(count, 1, 1)
    projections = targets.new_zeros(count, k)
    indices = torch.full((count, k), -1)
    norms = targets.new_zeros(count, k + 1)
    residual = targets.clone(memory_format=torch.contiguous_format)
    norms[:, 0] = residual.norm(dim=1)
    least = tolerance * norms[:, 0]
    parts = [part.numpy() for part in (basis, triangle, projections, residual, indices)]
    plain = atoms.contiguous().numpy()
    active = (norms[:, 0] > least).nonzero()[:, 0]
    for step in range(k):
        norms[:, step + 1] = norms[:, step]
        if not len(active):
            continue
        chosen = best_atoms(residual[active], compared, indices[active, :step])
        extend(active.numpy(), plain, chosen.numpy(), step, _DEPENDENT, *parts)
        norms[active, step + 1] = residual[active].norm(dim=1)
        active = active[(indices[active, step] >= 0) & (norms[active, step + 1] > least[active])]
    return Pursuit(indices, triangle, projections, norms)


def best_atoms(residual: Tensor, atoms: Tensor, used: Tensor) -> Tensor:
    """Return the unused atom of the largest inner product with each residual, in size: ``(targets,)`` int64."""
    count = len(residual)
    part = max(256, SCORES // max(1, count))
    best, chosen = residual.new_full((count,), -1.0), torch.zeros(count, dtype=torch.int64)
    taken = used.contiguous().numpy()
    for start in range(0, len(atoms), part):
        products = residual @ atoms[start : start + part].T
        scan(products.numpy(), start, taken, best.numpy(), chosen.numpy())
    return chosen


def combine(indices: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:
    """Return the weighted sum of each row's vectors, ``(rows, dimensions)``, without gathering them."""
    made: Tensor = torch.nn.functional.embedding_bag(indices, vectors, per_sample_weights=weights, mode="sum")
    return made

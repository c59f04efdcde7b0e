"""Maps between two spaces of tokens, made once from the tokens that both know."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spaniel_omp_tokenizer.pursuit import combine, pursue

Map = Callable[[Tensor], Tensor]


def landmark_pca(atoms: Tensor, base: Tensor) -> Map:
    """Return the map through principal components of both spaces and the rotation between them.

    Both are centred and reduced to the smaller number of dimensions; the rotation is the orthogonal Procrustes solution
    (Schönemann, 1966) between the shared tokens' components.
    """
    size = min(atoms.shape[1], base.shape[1])
    centre, target = atoms.mean(0), base.mean(0)
    ours, theirs = _directions(atoms - centre, size), _directions(base - target, size)
    left, _, right = torch.linalg.svd(((atoms - centre) @ ours).T @ ((base - target) @ theirs), full_matrices=False)
    whole = ours @ left @ right @ theirs.T
    return lambda targets: (targets - centre) @ whole + target


def sparse_basis(atoms: Tensor, base: Tensor, k: int) -> Map:
    """Return the map through a basis of token combinations.

    The principal directions of the smaller space are written by matching pursuit as combinations of ``k`` tokens; the same
    combinations of tokens are directions in the other space. A target's coordinates, by least squares, are kept.
    """
    size = min(atoms.shape[1], base.shape[1])
    centre, target = atoms.mean(0), base.mean(0)
    source = atoms - centre if atoms.shape[1] < base.shape[1] else base - target
    indices, weights = pursue(_directions(source, size).T.contiguous(), source, min(k, len(source))).weights()
    ours, theirs = (combine(indices, weights, vectors) for vectors in (atoms - centre, base - target))
    inverse = torch.linalg.pinv(ours.double()).to(ours.dtype)
    return lambda targets: ((targets - centre) @ inverse) @ theirs + target


def _directions(centred: Tensor, size: int) -> Tensor:
    """Return the principal directions, ``(dimensions, size)``, the largest first."""
    vectors: Tensor = torch.linalg.eigh((centred.T @ centred).double())[1]
    return vectors.flip(1)[:, :size].to(centred.dtype)

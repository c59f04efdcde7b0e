"""How many principal components explain a share of the variance."""

from __future__ import annotations

import torch
from torch import Tensor

_RANK = 1e-12
"""Share of the whole variance below which there is none."""


def count_components(rows: Tensor, eta: float) -> int:
    """Return the least ``k`` whose ``k`` largest eigenvalues of the covariance add up to more than ``eta`` of all.

    Wang 2025, section 3. The paper writes "at least" and its code "more than"; they differ in exact ties alone.
    Where there are fewer rows than columns, the eigenvalues are those of the rows' products, which are the same.

    Args:
        rows: ``(n, d)``, observations × features, any float; products are made in that precision, eigenvalues in float64.
        eta: share of the variance, from 0 to 1.

    Returns:
        From 1 to ``min(n - 1, d)``; 0 where all rows are alike.
    """
    centred = rows - rows.mean(0)
    n, d = centred.shape
    products = centred.T @ centred if n >= d else centred @ centred.T
    values = torch.linalg.eigvalsh(products.double()).flip(0).clamp_min(0)
    total = values.sum()
    scale = rows.double().square().sum()
    if not total > _RANK * scale:
        return 0
    reached = values.cumsum(0) > eta * total
    # Where eta is 1 rounding may keep the sum from being reached; then all that is not nothing counts.
    return int(reached.int().argmax()) + 1 if bool(reached.any()) else int((values > _RANK * total).sum())

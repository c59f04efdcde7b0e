"""Scores of how unlike the rows of a matrix are."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5


def covariance_score(rows: Tensor, eps: float = EPS) -> float:
    """Return ``-Σ log(v + eps) + 1 / (v + eps)`` over the eigenvalues ``v`` of the rows' correlations.

    Up to constants it is minus the divergence of an uncorrelated Gaussian from one with these correlations (Mellor et al.
    2021, eq. 4; Serianni and Kalita 2023, section 3.2): the largest, about ``-n``, where no two rows are correlated, and
    about ``1 / eps`` less for each row that others determine. A row that is constant counts as one of these.

    Args:
        rows: ``(n, p)``: variables × observations.
        eps: what is added to each eigenvalue.
    """
    centred = rows.double()
    centred = centred - centred.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    alive = norms > 1e-12 * max(1.0, float(rows.abs().max()))
    unit = torch.where(alive, centred / norms.clamp_min(torch.finfo(torch.float64).tiny), 0)
    values = torch.linalg.eigvalsh(unit @ unit.T).clamp_min(0) + eps
    return float(-(values.log() + 1 / values).sum())


def cosine_score(rows: Tensor) -> float:
    """Return ``1 - Σ_{i≠j} |cos(i, j)|^(1/20) / (2 (n² - n))``: larger where rows are less alike (Celotti et al. 2020).

    Args:
        rows: ``(n, p)``; a row of zeros has cosine 0 with every other.
    """
    values = rows.double()
    unit = values / values.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    cosines = (unit @ unit.T).fill_diagonal_(0)
    n = len(rows)
    return float(1 - cosines.abs().pow(1 / 20).sum() / (2 * (n * n - n)))

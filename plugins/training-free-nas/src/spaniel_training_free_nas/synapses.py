"""Proxies over weights and their gradients, and over what heads are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from spaniel_neural.tapping import TapScore
from spaniel_neural.taps import ATTENTION, MASK, OPERATION_WEIGHTS, PROJECTION_WEIGHTS, PROJECTIONS, SYNAPSES, flat
from torch import Tensor


class _Sum(TapScore):
    """A sum over tensors, or its mean."""

    def total(self, parts: Sequence[float]) -> float:
        """Return the sum; 0 where nothing adds to it."""
        return sum(parts) / (max(1, len(parts)) if self.config.normalise else 1)


class SynapticSaliency(_Sum):
    """Σ |W ⊙ ∂R/∂W| over the linears of feed-forward networks, or of recurrent cells (Tanaka et al. 2020, eq. 1)."""

    taps: Sequence[str] = (SYNAPSES,)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the sum."""
        products = [weight.value * weight.gradient for weight in flat(seen[self.taps[0]])]
        return self.total([float(product.abs().sum(dtype=torch.float64)) for product in products])


class HeadImportance(SynapticSaliency):
    """Σ |W ⊙ ∂R/∂W| over the linears that heads are made of (Serianni and Kalita 2023, section 3.4; Michel et al. 2019)."""

    taps = (PROJECTION_WEIGHTS,)


class SynapticDiversity(_Sum):
    """Σ ‖W‖_* ‖∂R/∂W‖_*, nuclear norms, over the linears of the operation (Zhou et al. 2022, eq. 4)."""

    taps = (OPERATION_WEIGHTS,)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the sum."""
        weights = flat(seen[OPERATION_WEIGHTS])
        return self.total([_nuclear(weight.value) * _nuclear(weight.gradient) for weight in weights])


class HeadConfidence(_Sum):
    """For each projection of a head, the largest value over the tokens, on average over texts and features.

    Serianni and Kalita 2023, section 3.4, after the confidence of Voita et al. 2019.
    """

    taps = (PROJECTIONS, MASK)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the sum over projections."""
        mask = seen[MASK][..., None]
        parts = [one.masked_fill(~mask, -torch.inf).amax(1).mean() for one in flat(seen[PROJECTIONS])]
        return self.total([float(part) for part in parts])


class SoftmaxConfidence(_Sum):
    """The largest attention weight of a query, on average over queries, heads and texts (Voita et al. 2019, section 4).

    Blocks that do not attend add nothing.
    """

    taps = (ATTENTION, MASK)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the sum over blocks; for the reference the largest is over heads."""
        weights = flat(seen[ATTENTION])
        if self.config.compat == "reference":
            return self.total([float(one.amax(1).mean()) for one in weights])
        return self.total([float(one.amax(-1).transpose(1, 2)[seen[MASK]].mean()) for one in weights])


def _nuclear(matrix: Tensor) -> float:
    """Return the sum of singular values."""
    return float(torch.linalg.svdvals(matrix).sum(dtype=torch.float64))

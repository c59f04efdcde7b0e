"""Proxies over hidden states and codes of activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from spaniel import UsageError
from spaniel_neural.tapping import TapScore
from spaniel_neural.taps import ACTIVATIONS, HIDDEN, HIDDEN_GRADIENTS, MASK, flat
from torch import Tensor

from spaniel_training_free_nas.spectral import covariance_score

_LEAST = 1e-6
"""Least eigenvalue of which a logarithm is taken: of texts with the same codes there are as many as copies."""


class HiddenCovariance(TapScore):
    """How unlike the features of a layer's hidden states are (Serianni and Kalita 2023, section 3.2); no gradient, no labels.

    A row is a feature, an observation a token of a text. Of recurrent layers the states are those that enter a time step.
    """

    taps = (HIDDEN, MASK)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the covariance score of one layer."""
        states = flat(seen[HIDDEN])
        if self.config.layer > len(states):
            raise UsageError(f"layer={self.config.layer}, and the candidate has {len(states)} layers")
        return covariance_score(states[self.config.layer - 1][seen[MASK]].T, self.config.eps)


class HiddenSaliency(TapScore):
    """Σ |h ⊙ ∂R/∂h| over hidden states (the released metric "hidden synaptic saliency")."""

    taps = (HIDDEN, HIDDEN_GRADIENTS, MASK)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the sum, or its mean over layers."""
        pairs = zip(flat(seen[HIDDEN]), flat(seen[HIDDEN_GRADIENTS]), strict=True)
        parts = [float((state * gradient)[seen[MASK]].abs().sum(dtype=torch.float64)) for state, gradient in pairs]
        return sum(parts) / (len(parts) if self.config.normalise else 1)


class ActivationDistance(TapScore):
    """How unlike the binary codes of activations are between texts (Mellor et al. 2021, eq. 2): ``log |K|``.

    ``K`` counts, for each two texts, the tokens and features at which their activations are both positive or both not,
    padding left out. A network without non-linearities tells no two texts apart.
    """

    taps = (ACTIVATIONS, MASK)

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the log-determinant; for the reference the sum over the tokens of the first text."""
        layers = flat(seen[ACTIVATIONS])
        if self.config.compat == "reference":
            total = sum(float(_agreements(layer[0], None).sum()) for layer in layers)
            return total / (max(1, len(layers)) if self.config.normalise else 1)
        kernel = seen[MASK].new_zeros((len(seen[MASK]),) * 2, dtype=torch.float64)
        for layer in layers:
            kernel += _agreements(layer.flatten(1), _spread(seen[MASK], layer))
        if self.config.normalise:
            kernel /= max(1, len(layers))
        return float(torch.linalg.eigvalsh(kernel).clamp_min(_LEAST).log().sum())


def _spread(mask: Tensor, layer: Tensor) -> Tensor:
    return mask[..., None].expand_as(layer).flatten(1)


def _agreements(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return ``c cᵀ + (1 - c)(1 - c)ᵀ`` for codes of rows; where a row is masked it agrees with none."""
    ones = (values > 0).to(values.dtype)
    zeros = 1 - ones
    if mask is not None:
        ones, zeros = ones * mask, zeros * mask
    return ones @ ones.T + zeros @ zeros.T

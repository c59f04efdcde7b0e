"""Activations and gradients of a layer → a map over its positions.

Everywhere activations and gradients are ``(channels, positions)``, of one input and one score, and a map is
``(positions,)`` float64, neither scaled nor cut at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaniel_cf_cam.channels import DOMINANT, NOISE, Channels, sort_channels
from spaniel_cf_cam.config import MapConfig
from spaniel_cf_cam.filters import smooth

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CfMap:
    """A map by CF-CAM.

    Attributes:
        values: ``(positions,)``.
        weights: ``(channels,)``, 0 of those that do not count.
        channels: what each channel is.
    """

    values: Floats
    weights: Floats
    channels: Channels

    @property
    def spread(self) -> float:
        """How far the weights that count lie apart, as a share of their mean size: near 0 the map knows no class."""
        counted = self.weights[self.weights != 0]
        mean = float(np.abs(counted).mean()) if len(counted) else 0.0
        return float(np.ptp(counted)) / mean if mean else 0.0

    def facts(self) -> dict[str, Any]:
        """Return what readers of the map should know."""
        facts = {**self.channels.facts(), "weight_spread": self.spread}
        if self.spread < EVEN:
            facts["warning"] = WARNING
        return facts


EVEN = 0.01
"""Spread of weights below which they are as good as equal."""
WARNING = (
    "the channels' weights differ by less than 1 %: this map is the mean activation, and hardly depends on the class or "
    "the query; weighting=softmax-std or linear tells them apart"
)


def cf_cam(
    activations: NDArray[Any],
    gradients: NDArray[Any],
    shape: tuple[int, ...],
    config: MapConfig,
    channels: Channels | None = None,
    segments: NDArray[Any] | None = None,
) -> CfMap:
    """Map a layer by CF-CAM (He et al., 2025).

    Dominant channels keep their gradients; in each cluster all channels get the filtered mean of its gradients; noise has
    no part. The mean of a channel's gradient over positions becomes its weight.

    Args:
        shape: of the positions, for the filter.
        channels: sorted before, by the same activations.
        segments: ``(positions,)``, the filter does not reach from one of these into another; of one-dimensional positions.
    """
    values, given = np.asarray(activations, np.float64), np.asarray(gradients, np.float64)
    channels = channels if channels is not None else sort_channels(values, config)
    labels = channels.labels
    filtered = np.zeros_like(given)
    counts = (labels == DOMINANT) | (labels >= 0) | ((labels == NOISE) & config.keep_noise)
    own = counts & (labels < 0)
    filtered[own] = given[own]
    if channels.clusters:
        means = np.stack([given[labels == cluster].mean(axis=0) for cluster in range(channels.clusters)])
        means = _smooth_segments(means, shape, config, segments)
        filtered[labels >= 0] = means[labels[labels >= 0]]
    weights = np.zeros(len(values))
    if counts.any():
        weights[counts] = _weigh(filtered[counts].mean(axis=1), weighting(config, shape))
    if config.combine == "gap":
        made = weights @ values
    else:
        made = weights @ (np.maximum(filtered, 0) * values)
    return CfMap(made, weights, channels)


def weighting(config: MapConfig, shape: tuple[int, ...]) -> str:
    """Return how weights are made for positions of a shape: of texts, gradients are too small for a plain softmax."""
    if config.weighting != "auto":
        return config.weighting
    return "softmax" if len(shape) == 2 else "softmax-std"


def _smooth_segments(means: Floats, shape: tuple[int, ...], config: MapConfig, segments: NDArray[Any] | None) -> Floats:
    if segments is None:
        return np.asarray(smooth(means, shape, config.filter, config.sigma, config.sigma_range))
    made = means.copy()
    for segment in np.unique(segments):
        part = segments == segment
        made[:, part] = smooth(means[:, part], (int(part.sum()),), config.filter, config.sigma, config.sigma_range)
    return made


def _weigh(means: Floats, how: str) -> Floats:
    """Return weights of channels.

    By softmax they are nearly equal where mean gradients are small: the map is then close to the mean activation, which
    neither noise nor the class changes much. Standardised first, they are not.
    """
    if how == "linear":
        return means
    if how == "softmax-std":
        spread = means.std()
        means = (means - means.mean()) / spread if spread > 0 else means
    powers = np.exp(means - means.max())
    return np.asarray(powers / powers.sum())


def grad_cam(activations: NDArray[Any], gradients: NDArray[Any]) -> Floats:
    """Weigh channels by their mean gradient (Selvaraju et al., ICCV 2017, equations 1 and 2)."""
    return np.asarray(gradients.mean(axis=1) @ activations, np.float64)


def grad_cam_pp(activations: NDArray[Any], gradients: NDArray[Any]) -> Floats:
    """Weigh channels by their positive gradients, each by how much it stands for (Chattopadhay et al., WACV 2018, equation 19)."""
    values, given = np.asarray(activations, np.float64), np.asarray(gradients, np.float64)
    below = 2 * given**2 + values.sum(axis=1, keepdims=True) * given**3
    shares = np.divide(given**2, below, out=np.zeros_like(given), where=np.abs(below) > np.finfo(np.float64).tiny)
    return np.asarray((shares * np.maximum(given, 0)).sum(axis=1) @ values)


def hires_cam(activations: NDArray[Any], gradients: NDArray[Any]) -> Floats:
    """Activations times gradients (Draelos and Carin, 2020, equation 4)."""
    return np.asarray((activations * gradients).sum(axis=0), np.float64)


def layer_cam(activations: NDArray[Any], gradients: NDArray[Any]) -> Floats:
    """Activations times positive gradients (Jiang et al., TIP 2021, equation 6)."""
    return np.asarray((activations * np.maximum(gradients, 0)).sum(axis=0), np.float64)


def score_cam(activations: NDArray[Any], scores: NDArray[Any], baseline: float) -> Floats:
    """Weigh channels by what the input scores that they mask (Wang et al., 2020, equations 5 to 7).

    Args:
        scores: ``(channels,)``, of the input times each channel's activations brought to 0 … 1.
        baseline: score of an empty input.
    """
    gains = np.asarray(scores, np.float64) - baseline
    powers = np.exp(gains - gains.max())
    return np.asarray((powers / powers.sum()) @ activations, np.float64)


def ablation_cam(activations: NDArray[Any], score: float, scores: NDArray[Any]) -> Floats:
    """Weigh channels by the share of the score that goes without them (Desai and Ramaswamy, WACV 2020, equation 3).

    Args:
        scores: ``(channels,)``, each without one channel.
    """
    falls = (score - np.asarray(scores, np.float64)) / (abs(score) or 1.0)
    return np.asarray(falls @ activations, np.float64)


def scaled(values: NDArray[Any], relu: bool = True) -> Floats:
    """Return a map cut at zero and divided by its largest value; of zeros, zeros. Without the cut, by its largest size."""
    made = np.maximum(values, 0) if relu else np.asarray(values, np.float64)
    largest = float(np.abs(made).max(initial=0))
    return np.asarray(made / largest if largest > 0 else made, np.float64)

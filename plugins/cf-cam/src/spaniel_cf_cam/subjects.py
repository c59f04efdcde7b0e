"""What is mapped: a layer of a model, for one input and one score."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spaniel_cf_cam.config import MapConfig
from spaniel_cf_cam.maps import (
    ablation_cam,
    cf_cam,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    score_cam,
)

Floats = NDArray[np.float64]
SMOOTH_DRAWS, SMOOTH_NOISE = 8, 0.15
"""Draws of noise of Smooth Grad-CAM++, and their deviation as a share of the input's range (Omeiza et al., 2019)."""


class Subject(Protocol):
    """A layer, ready to be mapped.

    Attributes:
        activations: ``(channels, positions)``.
        gradients: ``(channels, positions)``, of the score.
        shape: of the positions.
        segments: ``(positions,)``, of texts: which text a token is of; else ``None``.
        score: the score itself.
    """

    activations: Floats
    gradients: Floats
    shape: tuple[int, ...]
    segments: NDArray[np.int64] | None
    score: float

    def score_masked(self, masks: Floats) -> Floats:
        """Score the input times each mask: ``(masks, positions)`` from 0 to 1 → ``(masks,)``."""
        ...

    def score_without(self, channels: NDArray[np.int64]) -> Floats:
        """Score the input with one channel of the layer at zero each: ``(channels,)``."""
        ...

    def with_noise(self, share: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return activations and gradients of the input with noise, its deviation a share of the input's range."""
        ...


def draw(subject: Subject, method: str, config: MapConfig, seed: int = 0, gradients: Floats | None = None) -> Floats:
    """Return the map of a method: ``(positions,)``, neither scaled nor cut.

    Args:
        method: a name of :data:`METHODS`.
        config: of CF-CAM.
        seed: of the noise of Smooth Grad-CAM++.
        gradients: in place of the subject's own, for methods that read them.
    """
    values = subject.activations
    given = subject.gradients if gradients is None else gradients
    if method == "cf-cam":
        return cf_cam(values, given, subject.shape, config, segments=subject.segments).values
    if method in _BY_GRADIENT:
        return _BY_GRADIENT[method](values, given)
    if method == "smooth-grad-cam-pp":
        rng = np.random.default_rng(seed)
        drawn = [subject.with_noise(SMOOTH_NOISE, rng) for _ in range(SMOOTH_DRAWS)]
        return np.asarray(np.mean([grad_cam_pp(one, gradient) for one, gradient in drawn], axis=0))
    if method == "score-cam":
        low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
        masks = (values - low) / np.where(high > low, high - low, 1.0)
        empty = float(subject.score_masked(np.zeros((1, values.shape[1])))[0])
        return score_cam(values, subject.score_masked(masks), empty)
    return ablation_cam(values, subject.score, subject.score_without(np.arange(len(values))))


_BY_GRADIENT = {"grad-cam": grad_cam, "grad-cam-pp": grad_cam_pp, "hires-cam": hires_cam, "layer-cam": layer_cam}
METHODS = ("cf-cam", *_BY_GRADIENT, "smooth-grad-cam-pp", "score-cam", "ablation-cam")
GRADIENT_METHODS = ("cf-cam", *_BY_GRADIENT)
"""Those whose map is a function of activations and gradients alone."""

"""Images as classifiers read them, as positions of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.capture import capture
from torch import Tensor, nn
from torch.nn import functional

from spaniel_cf_cam.places import first_tensor, grid, logits_of, places, with_first_tensor
from spaniel_cf_cam.subjects import Floats

_ROWS = 32
"""Altered images that a model reads at once."""


class ImageSubject:
    """A layer of an image classifier, for one image and one class; the score is the class's logit.

    Args:
        model: image ``(n, 3, height, width)`` → logits ``(n, classes)``, in evaluation mode.
        layer: name of the layer, as in ``model.named_modules()``; it gives ``(n, channels, height, width)``, or a vision
            transformer's tokens, see :func:`spaniel_cf_cam.places.grid`. Of one that runs several times the last counts.
        image: ``(3, height, width)`` float32, normalised; black is 0.
        target: number of the class; by default the one with the highest logit.

    Attributes:
        target: the class that is mapped.
        rival: the other class with the highest logit.
        probability: of the class.

    Raises:
        UsageError: there is no such layer or class, or the layer gives no map.
    """

    segments: NDArray[np.int64] | None = None

    def __init__(self, model: nn.Module, layer: str, image: Tensor, target: int | None = None) -> None:
        self.model = model
        self.layer = layer
        self.image = image
        with torch.no_grad():
            logits = logits_of(model(image[None]))
        classes = logits.shape[1]
        if target is not None and not 0 <= target < classes:
            raise UsageError(f"there is no class {target}; the model has {classes}, from 0 on")
        self.target = int(logits[0].argmax()) if target is None else target
        ranked = logits[0].argsort(descending=True).tolist()
        self.rival = ranked[1] if ranked[0] == self.target and classes > 1 else ranked[0]
        self.probability = float(logits.softmax(1)[0, self.target])
        self.shape: tuple[int, ...] = ()
        self.activations, self.gradients, self.score = self._run(image)

    def score_masked(self, masks: Floats) -> Floats:
        """Return the logits of the image times each mask, drawn up to its size."""
        return self._forward(masks, probability=False)

    def worth(self, masks: Floats) -> Floats:
        """Return the probabilities of the class, of the image times each mask."""
        return self._forward(masks, probability=True)

    def enlarged(self, values: Floats) -> Floats:
        """Return maps drawn up to the image, ``(maps, height, width)``, bilinearly."""
        maps = torch.from_numpy(np.ascontiguousarray(values, np.float32)).view(-1, 1, *self.shape)
        size = self.image.shape[1:]
        made = functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
        return np.asarray(made[:, 0].numpy(), np.float64)

    def score_without(self, channels: NDArray[np.int64]) -> Floats:
        """Return the logits with one channel of the layer at zero each."""
        made = []
        for start in range(0, len(channels), _ROWS):
            part = torch.from_numpy(channels[start : start + _ROWS])
            ran = 0

            def without(module: Any, inputs: Any, output: Any, part: Tensor = part) -> Any:
                nonlocal ran
                ran += 1
                hidden = first_tensor(output)
                if hidden is None or ran < self._runs:
                    return None
                changed, rows = hidden.clone(), torch.arange(len(part))
                if changed.dim() == 4:
                    changed[rows, part] = 0
                else:
                    changed[rows, :, part] = 0
                return with_first_tensor(output, changed)

            handle = self.model.get_submodule(self.layer).register_forward_hook(without)
            try:
                made.append(self._score(self.image.expand(len(part), -1, -1, -1)))
            finally:
                handle.remove()
        return np.concatenate(made) if made else np.zeros(0)

    def with_noise(self, share: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return activations and gradients of the image with noise."""
        spread = share * float(self.image.max() - self.image.min())
        noise = torch.from_numpy(rng.normal(0, spread, self.image.shape)).to(self.image)
        activations, gradients, _ = self._run(self.image + noise)
        return activations, gradients

    def _run(self, image: Tensor) -> tuple[Floats, Floats, float]:
        given = image[None].detach().requires_grad_()
        with torch.enable_grad(), capture(self.model, [self.layer], copy=True) as taps:
            score = logits_of(self.model(given))[0, self.target]
            if not len(taps[self.layer]):
                raise UsageError(f"layer {self.layer} does not run when the model reads an image")
            self._runs = len(taps[self.layer])
            hidden = taps[self.layer][-1].output
            shape = grid(hidden)
            if shape is None:
                raise UsageError(f"layer {self.layer} gives {tuple(hidden.shape)}, which is no map of channels")
            self.shape = shape
            (gradient,) = torch.autograd.grad(score, [hidden], allow_unused=True)
        sides = (hidden, torch.zeros_like(hidden) if gradient is None else gradient)
        activations, gradients = (places(side.detach().double())[0].cpu().numpy() for side in sides)
        return activations, gradients, float(score.detach())

    def _forward(self, masks: Floats, probability: bool) -> Floats:
        made = []
        for start in range(0, len(masks), _ROWS):
            enlarged = torch.from_numpy(self.enlarged(masks[start : start + _ROWS])).to(self.image)
            made.append(self._score(self.image[None] * enlarged[:, None], probability))
        return np.concatenate(made) if made else np.zeros(0)

    def _score(self, images: Tensor, probability: bool = False) -> Floats:
        with torch.no_grad():
            logits = logits_of(self.model(images)).double()
        scores = (logits.softmax(1) if probability else logits)[:, self.target]
        return np.asarray(scores.numpy(), np.float64)

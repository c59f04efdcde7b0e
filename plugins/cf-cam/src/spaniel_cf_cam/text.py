"""Tokens as a text ranker reads them, as positions of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_explain.reading import Reading
from spaniel_neural.capture import capture
from spaniel_neural.walking import walk
from torch import Tensor

from spaniel_cf_cam.subjects import Floats

_ROWS = 64
"""Altered inputs that a model reads at once."""


class TextSubject:
    """A block of a transformer that reads a text, or a pair of texts; channels are the dimensions of the token vectors.

    Args:
        reading: the text, and the score of the model's output.
        layer: number of the block; negative ones count from the last.
        center: whether each channel's mean over the tokens is taken off.
        exclude_special: whether special tokens are no positions.

    Raises:
        UsageError: there is no such block, or no token is left.
    """

    def __init__(self, reading: Reading, layer: int, center: bool, exclude_special: bool) -> None:
        self.reading = reading
        blocks = walk(reading.transformer.model).blocks
        if not -len(blocks) <= layer < len(blocks):
            raise UsageError(
                f"layer={layer}: the model has {len(blocks)} blocks, 0 to {len(blocks) - 1} or -1 to {-len(blocks)}"
            )
        self.block = blocks[layer]
        self.center = center
        kept = [at for at, spot in enumerate(reading.spots) if spot is not None or not exclude_special]
        self.places = np.array(kept, np.int64)
        self.shape: tuple[int, ...] = (len(kept),)
        spots = [reading.spots[at] for at in kept]
        sides = ["" if spot is None else spot.side for spot in spots]
        self.segments: NDArray[np.int64] | None = np.unique(np.array(sides, dtype=str), return_inverse=True)[1]
        self.embedded = reading.embedded(reading.inputs["input_ids"])
        self.activations, self.gradients, self.score = self._run(self.embedded)

    def score_masked(self, masks: Floats) -> Floats:
        """Score the text with its token vectors times each mask."""
        made = []
        for start in range(0, len(masks), _ROWS):
            part = torch.from_numpy(masks[start : start + _ROWS]).to(self.embedded)
            whole = torch.ones(len(part), self.embedded.shape[1], device=part.device, dtype=part.dtype)
            whole[:, torch.from_numpy(self.places).to(part.device)] = part
            made.append(self._score(self.embedded * whole[:, :, None]))
        return np.concatenate(made) if made else np.zeros(0)

    def score_without(self, channels: NDArray[np.int64]) -> Floats:
        """Score the text with one channel of the block's output at zero each."""
        made = []
        for start in range(0, len(channels), _ROWS):
            part = torch.from_numpy(channels[start : start + _ROWS])

            def without(module: Any, inputs: Any, output: Any, part: Tensor = part) -> Any:
                hidden = (output[0] if isinstance(output, tuple) else output).clone()
                hidden[torch.arange(len(part)), :, part] = 0
                return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

            handle = self._module().register_forward_hook(without)
            try:
                made.append(self._score(self.embedded.expand(len(part), -1, -1)))
            finally:
                handle.remove()
        return np.concatenate(made) if made else np.zeros(0)

    def with_noise(self, share: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return activations and gradients with noise on the token vectors."""
        spread = share * float(self.embedded.max() - self.embedded.min())
        noise = torch.from_numpy(rng.normal(0, spread, self.embedded.shape)).to(self.embedded)
        activations, gradients, _ = self._run(self.embedded + noise)
        return activations, gradients

    def _run(self, embedded: Tensor) -> tuple[Floats, Floats, float]:
        embedded = embedded.detach().requires_grad_()
        with torch.enable_grad(), capture(self.reading.transformer.model, [self.block]) as taps:
            score = self.reading.run(embedded)
            hidden = taps[self.block.name].call.output
            (gradient,) = torch.autograd.grad(score.sum(), [hidden], allow_unused=True)
        gradient = torch.zeros_like(hidden) if gradient is None else gradient
        activations, gradients = (
            side.detach().double().cpu().numpy()[0].T[:, self.places] for side in (hidden, gradient)
        )
        if self.center and activations.shape[1]:
            activations = activations - activations.mean(axis=1, keepdims=True)
        return activations, gradients, float(score.detach()[0])

    def _score(self, embedded: Tensor) -> Floats:
        with torch.no_grad():
            return np.asarray(self.reading.run(embedded).double().cpu().numpy(), np.float64)

    def _module(self) -> Any:
        return self.reading.transformer.model.get_submodule(self.block.name)

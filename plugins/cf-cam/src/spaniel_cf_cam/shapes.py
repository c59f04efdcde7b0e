"""Pictures of shapes among clutter, and a small network that tells them apart: cases whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE, SHAPE, CLASSES, DISTRACTORS = 48, 11, 4, 6
LAYER = "features.11"


class Pictures(NamedTuple):
    """Pictures ``(n, 1, 48, 48)`` float32, their classes ``(n,)``, and where the shape is, ``(n, 48, 48)`` bool."""

    images: Tensor
    classes: Tensor
    inside: NDArray[np.bool_]


def draw_pictures(count: int, seed: int) -> Pictures:
    """Draw pictures with one of four shapes of 11 by 11 pixels at a random place, noise, and six distractors each."""
    rng = np.random.default_rng(seed)
    stencils = _stencils()
    images = rng.normal(0, 0.15, (count, SIDE, SIDE)).astype(np.float32)
    inside = np.zeros((count, SIDE, SIDE), bool)
    classes = rng.integers(CLASSES, size=count)
    for number in range(count):
        for _ in range(DISTRACTORS):
            height, width = rng.integers(2, 6, 2)
            top, left = rng.integers(SIDE - height), rng.integers(SIDE - width)
            images[number, top : top + height, left : left + width] += rng.uniform(0.4, 1.0)
        top, left = rng.integers(SIDE - SHAPE, size=2)
        place = (slice(top, top + SHAPE), slice(left, left + SHAPE))
        images[number][place] = np.where(stencils[classes[number]], 1.0, images[number][place])
        inside[number][place] = True
    return Pictures(torch.from_numpy(images)[:, None], torch.from_numpy(classes), inside)


def _stencils() -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SHAPE, :SHAPE]
    middle = SHAPE // 2
    radius = np.hypot(rows - middle, columns - middle)
    square = (np.minimum(rows, columns) < 2) | (np.maximum(rows, columns) > SHAPE - 3)
    cross = (abs(rows - middle) < 2) | (abs(columns - middle) < 2)
    ring = (radius <= middle) & (radius > middle - 2)
    diagonals = (abs(rows - columns) < 2) | (abs(rows + columns - SHAPE + 1) < 2)
    return np.stack([square, cross, ring, diagonals])


class ShapeNet(nn.Module):
    """Four convolutions (16, 32, 64, 64 channels; the last gives 12 by 12 places), half maximum and half mean pooling."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((1, 16, 1), (16, 32, 2), (32, 64, 2), (64, 64, 1)):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, 4)``."""
        hidden = self.features(images)
        made: Tensor = self.head(0.5 * hidden.amax((2, 3)) + 0.5 * hidden.mean((2, 3)))
        return made


def train_shape_net(seed: int, steps: int, advance: Callable[[int], None]) -> ShapeNet:
    """Train the network on fresh pictures, 64 a step, and return it in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ShapeNet()
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        for step in range(steps):
            batch = draw_pictures(64, seed * 100_003 + step + 1)
            loss = nn.functional.cross_entropy(model(batch.images), batch.classes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            advance(1)
    return model.eval().requires_grad_(False)

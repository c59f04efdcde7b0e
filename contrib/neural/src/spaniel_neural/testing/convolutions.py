"""A tiny network of convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TinyConvNet(nn.Module):
    """Three convolutions, the mean over places, and a linear layer, as class activation maps ask (Zhou et al., 2016).

    The rectifiers work in place, as those of many published networks do.

    Args:
        classes: scores of an image.
        channels: of an image.
        width: maps of the first convolution; the others have twice as many.
        seed: of the weights.
    """

    def __init__(self, classes: int = 10, channels: int = 1, width: int = 4, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.features = nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, 2 * width, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(2 * width, 2 * width, 3, padding=1),
                nn.ReLU(inplace=True),
            )
            self.classifier = nn.Linear(2 * width, classes)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return scores, ``(images, classes)``, of ``(images, channels, height, width)`` float32."""
        scores: Tensor = self.classifier(self.features(images).mean(dim=(2, 3)))
        return scores

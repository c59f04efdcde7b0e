"""What stands in the place of attention in a block: the operations of FlexiBERT (Tuli et al. 2022, section 3.1)."""

from __future__ import annotations

import math
from typing import Any

import torch
from spaniel_neural.blocks import SelfAttention, merge, split
from torch import Tensor, nn
from torch.nn import functional


class Transform(nn.Module):
    """The real part of a discrete Fourier transform, or a cosine transform, over positions and features of each head.

    Padding is zero before the transform.

    Args:
        hidden: width.
        heads: number of heads.
        cosine: whether it is the unnormalised cosine transform of type II.
        shown: whether a softmax of the result is computed and dropped, as the reference does; its tap shows it.
    """

    def __init__(self, hidden: int, heads: int, *, cosine: bool, shown: bool = False) -> None:
        super().__init__()
        self.heads, self.cosine = heads, cosine
        self.input = nn.Linear(hidden, hidden)
        self.softmax = nn.Softmax(-1) if shown else None

    @property
    def projections(self) -> list[nn.Module]:
        """The linears that the heads are made of."""
        return [self.input]

    sources = projections

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, h)`` and ``(B, L)`` bool → ``(B, L, h)``."""
        heads = split(self.input(hidden).masked_fill(~mask[..., None], 0), self.heads)
        mixed = dct(dct(heads).transpose(-1, -2)).transpose(-1, -2) if self.cosine else torch.fft.fft2(heads).real
        if self.softmax is not None:
            self.softmax(mixed)
        return merge(mixed)


def dct(x: Tensor) -> Tensor:
    """Return the unnormalised cosine transform of type II over the last axis: ``2 Σ_n x_n cos(π k (2n + 1) / 2N)``.

    By one Fourier transform of the even places followed by the odd ones in reverse (Makhoul 1980).
    """
    n = x.shape[-1]
    ordered = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    angle = torch.arange(n, dtype=x.dtype, device=x.device) * (math.pi / (2 * n))
    spectrum = torch.fft.fft(ordered)
    made: Tensor = 2 * (spectrum.real * angle.cos() + spectrum.imag * angle.sin())
    return made


class DynamicConvolution(nn.Module):
    """Half of the heads attend, the others convolve with kernels made of each token (ConvBERT, Jiang et al. 2020, eq. 3-6).

    Args:
        hidden: width.
        heads: number of heads, even.
        kernel: width of the convolution, odd.
        dropout: share of attention weights left out in training.
    """

    def __init__(self, hidden: int, heads: int, kernel: int, *, dropout: float) -> None:
        super().__init__()
        self.heads, self.kernel = heads // 2, kernel
        inner = hidden // 2
        self.attention = SelfAttention(hidden, self.heads, inner, dropout=dropout)
        self.depthwise = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False)
        self.pointwise = nn.Conv1d(hidden, inner, 1)
        self.kernels = nn.Linear(inner, self.heads * kernel)
        self.source = nn.Linear(hidden, inner)

    @property
    def softmax(self) -> nn.Module:
        """The attention weights of the heads that attend."""
        return self.attention.softmax

    @property
    def projections(self) -> list[nn.Module]:
        """The linears that the attending heads are made of."""
        return self.attention.projections

    @property
    def sources(self) -> list[nn.Module]:
        """The linears that any head reads from."""
        return [*self.projections, self.source]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, h)`` and ``(B, L)`` bool → ``(B, L, h)``."""
        query = self.attention.query(hidden)
        attended = self.attention.attend(query, hidden, mask)
        real = hidden.masked_fill(~mask[..., None], 0)
        key = self.pointwise(self.depthwise(real.transpose(1, 2))).transpose(1, 2)
        kernels = self.kernels(key * query)
        kernels = kernels.reshape(*kernels.shape[:-1], self.heads, self.kernel).softmax(-1)
        source = self.source(hidden).masked_fill(~mask[..., None], 0)
        # A view of the neighbours of each token, so that nothing is copied: (B, L, heads, d, kernel).
        windows = functional.pad(source, (0, 0, self.kernel // 2, self.kernel // 2)).unfold(1, self.kernel, 1)
        windows = windows.reshape(*windows.shape[:2], self.heads, -1, self.kernel)
        convolved = (windows * kernels[:, :, :, None]).sum(-1).flatten(-2)
        return torch.cat([attended, convolved], -1)


def operation(name: str, hidden: int, heads: int, dropout: float, shown: bool = False) -> Any:
    """Make the operation of a block by its name."""
    if name in ("DFT", "DCT"):
        return Transform(hidden, heads, cosine=name == "DCT", shown=shown)
    if name.startswith("DSC"):
        return DynamicConvolution(hidden, heads, int(name.removeprefix("DSC")), dropout=dropout)
    return SelfAttention(hidden, heads, hidden, weighted=name == "WMA", dropout=dropout)

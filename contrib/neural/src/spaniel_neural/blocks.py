"""Parts of encoders that spaces of candidates are built from, and fresh weights for them.

Each part keeps the modules that taps name (:mod:`spaniel_neural.taps`) as attributes of its own, and runs each of them once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Made = Callable[[], nn.Module]
_LEAST = torch.finfo(torch.float32).min


def fresh(make: Made, seed: int | torch.Generator, std: float = 0.02) -> nn.Module:
    """Make a model with weights N(0, std²), biases 0 and normalisations 1, whatever the state of torch's random stream.

    Args:
        make: makes the model; its own initialisation is passed over, for speed.
        seed: seed of the weights, or the stream that they are drawn from, so that parts can be made one after the other.
        std: standard deviation.
    """
    with torch.device("meta"):
        module = make()
    module.to_empty(device="cpu")
    random = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1)
            else:
                parameter.normal_(0, std, generator=random)
    return module.eval()


class Embeddings(nn.Module):
    """Token, position and type embeddings, their sum normalised, and a projection where the model is of another width.

    Args:
        vocabulary: tokens.
        width: of the embeddings.
        hidden: width of the model.
        positions: longest text.
        eps: of the normalisation.
        dropout: share of numbers left out in training.
    """

    def __init__(
        self, vocabulary: int, width: int, hidden: int, positions: int = 512, eps: float = 1e-12, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, hidden) if width != hidden else nn.Identity()

    def forward(self, embedded: Tensor) -> Tensor:
        """Add positions and types to embedded tokens: ``(B, L, width)`` → ``(B, L, hidden)``."""
        summed = embedded + self.positions.weight[: embedded.shape[1]] + self.types.weight[0]
        made: Tensor = self.project(self.dropout(self.norm(summed)))
        return made


class Softmax(nn.Module):
    """Attention weights from scores, over the keys that are no padding; a module, so that a tap can show them."""

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """``(B, heads, L, L)`` and ``(B, L)`` bool → ``(B, heads, L, L)``."""
        return scores.masked_fill(~mask[:, None, None, :], _LEAST).softmax(-1)


class SelfAttention(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1), without the linear and the residual behind it.

    Args:
        source: width of what it reads.
        heads: number of heads.
        inner: width of all heads together.
        weighted: whether queries pass a further matrix without bias before the product (weighted multiplicative attention).
        dropout: share of attention weights left out in training.
    """

    def __init__(self, source: int, heads: int, inner: int, *, weighted: bool = False, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(source, inner)
        self.key = nn.Linear(source, inner)
        self.value = nn.Linear(source, inner)
        self.weighting = nn.Linear(inner, inner, bias=False) if weighted else None
        self.softmax = Softmax()
        self.dropout = nn.Dropout(dropout)

    @property
    def projections(self) -> list[nn.Module]:
        """The linears that the heads are made of."""
        return [self.query, self.key, self.value, *([self.weighting] if self.weighting is not None else [])]

    sources = projections

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, source)`` and ``(B, L)`` bool → ``(B, L, inner)``."""
        return self.attend(self.query(hidden), hidden, mask)

    def attend(self, query: Tensor, hidden: Tensor, mask: Tensor) -> Tensor:
        """The same with queries that are at hand, ``(B, L, inner)``."""
        if self.weighting is not None:
            query = self.weighting(query)
        q, k, v = (split(one, self.heads) for one in (query, self.key(hidden), self.value(hidden)))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        weights = self.dropout(self.softmax(scores, mask))
        return merge(weights @ v)


class FeedForward(nn.Module):
    """Linears with a non-linearity behind each, then one back, without residual and normalisation.

    Args:
        source: width of what it reads and gives.
        widths: of the linears, one after the other.
        activation: makes a non-linearity; each linear has one of its own.
        dropout: share of the result left out in training.
    """

    def __init__(self, source: int, widths: Sequence[int], activation: Made = nn.GELU, *, dropout: float = 0.1) -> None:
        super().__init__()
        sizes = [source, *widths]
        self.up = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activations = nn.ModuleList(activation() for _ in widths)
        self.down = nn.Linear(sizes[-1], source)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, L, source)`` → ``(B, L, source)``."""
        for linear, activation in zip(self.up, self.activations, strict=True):
            hidden = activation(linear(hidden))
        made: Tensor = self.dropout(self.down(hidden))
        return made


def split(tensor: Tensor, heads: int) -> Tensor:
    """``(B, L, heads × d)`` → ``(B, heads, L, d)``."""
    return tensor.reshape(*tensor.shape[:-1], heads, -1).transpose(1, 2)


def merge(tensor: Tensor) -> Tensor:
    """``(B, heads, L, d)`` → ``(B, L, heads × d)``."""
    return tensor.transpose(1, 2).flatten(-2)

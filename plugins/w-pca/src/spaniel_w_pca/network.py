"""Encoders of the space as one network (Wang 2025, section 4; MobileBERT: Sun et al., ACL 2020, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from spaniel_neural import taps
from spaniel_neural.blocks import FeedForward, SelfAttention
from torch import Tensor, nn

EPS = 1e-12


class Layer(NamedTuple):
    """A block: its family and the width of its feed-forward network."""

    family: str
    width: int


class Sizes(NamedTuple):
    """What all blocks of a network share."""

    hidden: int
    heads: int
    bottleneck: int
    vocabulary: int
    embedding: int
    positions: int
    dropout: float = 0.1


class Affine(nn.Module):
    """MobileBERT's stand-in for a normalisation: a factor and an addend for each feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(…, width)`` → ``(…, width)``."""
        return hidden * self.weight + self.bias


class TrigramEmbeddings(nn.Module):
    """What each token and its two neighbours embed to, projected, with positions and types added and normalised."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.words = nn.Embedding(sizes.vocabulary, sizes.embedding)
        self.project = nn.Linear(3 * sizes.embedding, sizes.hidden)
        self.positions = nn.Embedding(sizes.positions, sizes.hidden)
        self.types = nn.Embedding(2, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden, eps=EPS)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, embedded: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Return what the first block reads.

        Args:
            embedded: ``(B, L, embedding)``; of the neighbours the right one comes first, as in MobileBERT.
            mask: ``(B, L)`` bool; padding is no neighbour, so that what a text gives does not depend on it.
            types: ``(B, L)`` int64, which of a pair's texts a token is of.
        """
        real = embedded * mask[..., None]
        nothing = torch.zeros_like(real[:, :1])
        right, left = torch.cat([real[:, 1:], nothing], 1), torch.cat([nothing, real[:, :-1]], 1)
        summed = self.project(torch.cat([right, real, left], -1)) + self.positions.weight[: embedded.shape[1]]
        summed = summed + (self.types.weight[0] if types is None else self.types(types))
        made: Tensor = self.dropout(self.norm(summed))
        return made


class BertBlock(nn.Module):
    """Attention and a feed-forward network, each with a residual and a normalisation behind it."""

    is_narrow = False

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        h, dropout = sizes.hidden, sizes.dropout
        self.attention = SelfAttention(h, sizes.heads, h, dropout=dropout)
        self.dense = nn.Linear(h, h)
        self.norm = nn.LayerNorm(h, eps=EPS)
        self.ff = FeedForward(h, [width], partial(nn.GELU, approximate="tanh"), dropout=dropout)
        self.last: nn.Module = nn.LayerNorm(h, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    @property
    def linears(self) -> list[nn.Module]:
        """The linears of the attention."""
        return [*self.attention.projections, self.dense]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, h)`` and ``(B, L)`` bool → ``(B, L, h)``."""
        attended = self.norm(hidden + self.dropout(self.dense(self.attention(hidden, mask))))
        made: Tensor = self.last(attended + self.ff(attended))
        return made


class MobileBertBlock(nn.Module):
    """The same in a bottleneck: narrow inside, while queries, keys and values read the wide states."""

    is_narrow = True

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        h, b, dropout = sizes.hidden, sizes.bottleneck, sizes.dropout
        self.narrow = nn.Linear(h, b)
        self.attention = SelfAttention(h, sizes.heads, b, dropout=dropout)
        self.dense = nn.Linear(b, b)
        self.norm = Affine(b)
        self.ff = FeedForward(b, [width], nn.ReLU, dropout=dropout)
        self.inner = Affine(b)
        self.widen = nn.Linear(b, h)
        self.last: nn.Module = Affine(h)
        self.dropout = nn.Dropout(dropout)

    @property
    def linears(self) -> list[nn.Module]:
        """The linears of the attention."""
        return [*self.attention.projections, self.dense]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, h)`` and ``(B, L)`` bool → ``(B, L, h)``."""
        attended = self.norm(self.narrow(hidden) + self.dropout(self.dense(self.attention(hidden, mask))))
        inner = self.inner(attended + self.ff(attended))
        made: Tensor = self.last(hidden + self.dropout(self.widen(inner)))
        return made


class Encoder(nn.Module):
    """Embeddings and blocks; see :class:`spaniel_neural.taps.Tappable`.

    Args:
        layers: the blocks.
        sizes: what they share.
    """

    recurrent = False

    def __init__(self, layers: Sequence[Layer], sizes: Sizes) -> None:
        super().__init__()
        self.embeddings = TrigramEmbeddings(sizes)
        self.blocks = nn.ModuleList(make_block(layer, sizes) for layer in layers)

    @property
    def positions(self) -> nn.Module:
        """The embeddings of positions."""
        return self.embeddings.positions

    def embed(self, ids: Tensor) -> Tensor:
        """``(B, L)`` int64 → ``(B, L, embedding)``."""
        made: Tensor = self.embeddings.words(ids)
        return made

    def forward(self, embedded: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """``(B, L, embedding)``, ``(B, L)`` bool and ``(B, L)`` int64 → ``(B, L, hidden)``."""
        hidden: Tensor = self.embeddings(embedded, mask, types)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return hidden

    def parts(self) -> Mapping[str, Sequence[Sequence[nn.Module]]]:
        """Return the modules that taps show, block by block."""
        return join_parts([block_parts(block) for block in self.blocks])


def make_block(layer: Layer, sizes: Sizes) -> nn.Module:
    """Return a block."""
    return (BertBlock if layer.family == "bert" else MobileBertBlock)(sizes, layer.width)


def block_parts(block: nn.Module) -> dict[str, list[nn.Module]]:
    """Return the modules of a block that taps show."""
    assert isinstance(block, BertBlock | MobileBertBlock)  # what make_block made
    return {
        taps.HIDDEN: [block.last],
        taps.FFN_BEFORE: list(block.ff.up),
        taps.FFN_AFTER: list(block.ff.activations),
        taps.ACTIVATIONS: list(block.ff.activations),
        taps.PROJECTIONS: list(block.attention.projections),
        taps.ATTENTION: [block.attention.softmax],
        taps.SYNAPSES: [*block.ff.up, block.ff.down],
        taps.OPERATION_WEIGHTS: block.linears,
        taps.PROJECTION_WEIGHTS: list(block.attention.projections),
    }


def join_parts(blocks: Sequence[Mapping[str, list[nn.Module]]]) -> dict[str, list[list[nn.Module]]]:
    """Return parts of blocks by tap."""
    return {name: [block[name] for block in blocks] for name in blocks[0]}

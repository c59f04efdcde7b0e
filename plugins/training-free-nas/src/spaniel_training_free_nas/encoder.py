"""Encoders of the FlexiBERT space, as one network (Serianni and Kalita 2023, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spaniel_neural import taps
from spaniel_neural.blocks import Embeddings, FeedForward
from torch import Tensor, nn

from spaniel_training_free_nas.operations import operation

EPS = 1e-12


class Layer(NamedTuple):
    """One block as it is built.

    Attributes:
        operation: name of the operation.
        heads: number of heads.
        widths: of the feed-forward linears, without the last one back.
        bare: whether the operation stands without a linear, residual and normalisation behind it.
    """

    operation: str
    heads: int
    widths: tuple[int, ...]
    bare: bool = False


class Block(nn.Module):
    """An operation, then a feed-forward network, each with a residual and a normalisation behind it."""

    def __init__(self, layer: Layer, hidden: int, dropout: float) -> None:
        super().__init__()
        self.operation = operation(layer.operation, hidden, layer.heads, dropout, shown=layer.bare)
        self.dense = None if layer.bare else nn.Linear(hidden, hidden)
        self.norm = None if layer.bare else nn.LayerNorm(hidden, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.ff = FeedForward(hidden, layer.widths, dropout=dropout)
        self.last = nn.LayerNorm(hidden, eps=EPS)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, h)`` and ``(B, L)`` bool → ``(B, L, h)``."""
        mixed = self.operation(hidden, mask)
        if self.dense is not None and self.norm is not None:
            mixed = self.norm(hidden + self.dropout(self.dense(mixed)))
        made: Tensor = self.last(mixed + self.ff(mixed))
        return made


class Encoder(nn.Module):
    """Embeddings and blocks; see :class:`spaniel_neural.taps.Tappable`.

    Args:
        layers: the blocks.
        hidden: width.
        vocabulary, embedding, longest: tokens, width of their embeddings, positions.
        dropout: share of numbers left out in training.
    """

    recurrent = False

    def __init__(
        self, layers: Sequence[Layer], hidden: int, *, vocabulary: int, embedding: int, longest: int, dropout: float
    ) -> None:
        super().__init__()
        self.embeddings = Embeddings(vocabulary, embedding, hidden, longest, eps=EPS, dropout=dropout)
        self.blocks = nn.ModuleList(Block(layer, hidden, dropout) for layer in layers)

    @property
    def positions(self) -> nn.Module:
        """The embeddings of positions."""
        return self.embeddings.positions

    def embed(self, ids: Tensor) -> Tensor:
        """``(B, L)`` int64 → ``(B, L, embedding)``."""
        made: Tensor = self.embeddings.words(ids)
        return made

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """``(B, L, embedding)`` and ``(B, L)`` bool → ``(B, L, hidden)``."""
        hidden: Tensor = self.embeddings(embedded)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return hidden

    def parts(self) -> Mapping[str, Sequence[Sequence[nn.Module]]]:
        """Return the modules that taps show, block by block."""
        blocks: list[Block] = list(self.blocks)  # type: ignore[arg-type]
        return {
            taps.HIDDEN: [[block.last] for block in blocks],
            taps.FFN_BEFORE: [list(block.ff.up) for block in blocks],
            taps.FFN_AFTER: [list(block.ff.activations) for block in blocks],
            taps.ACTIVATIONS: [list(block.ff.activations) for block in blocks],
            taps.PROJECTIONS: [block.operation.projections for block in blocks],
            taps.ATTENTION: [[block.operation.softmax] if block.operation.softmax else [] for block in blocks],
            taps.SYNAPSES: [[*block.ff.up, block.ff.down] for block in blocks],
            taps.OPERATION_WEIGHTS: [_linears(block) for block in blocks],
            taps.PROJECTION_WEIGHTS: [list(block.operation.sources) for block in blocks],
        }


def _linears(block: Block) -> list[nn.Module]:
    found: list[nn.Module] = [one for one in block.operation.modules() if isinstance(one, nn.Linear)]
    return [*found, block.dense] if block.dense is not None else found

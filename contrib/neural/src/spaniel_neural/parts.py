"""The parts of a model, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spaniel_neural.architectures import StackKind


@dataclass(frozen=True, eq=False)
class Part:
    """A module and its name in the whole model, as :func:`spaniel_neural.capture.capture` takes it."""

    name: str
    module: Any


@dataclass(frozen=True, eq=False)
class Attention(Part):
    """An attention layer; its module returns the attention weights.

    Attributes:
        q, k, v, o: the projections of queries, keys, values and of the heads' outputs.
        heads: heads of queries.
        kv_heads: heads of keys and values; fewer where several query heads share one.
        head_dim: dimensions of a head; head ``h`` has the rows ``h * head_dim`` and on of ``q``, the same columns of ``o``,
            and the rows ``h // group * head_dim`` and on of ``k`` and ``v``.
    """

    q: Part
    k: Part
    v: Part
    o: Part
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def group(self) -> int:
        """Query heads that share one head of keys and values."""
        return self.heads // self.kv_heads


@dataclass(frozen=True, eq=False)
class Mlp:
    """The feed-forward part of a block; hidden unit ``i`` is row ``i`` of ``up`` and ``gate`` and column ``i`` of ``down``."""

    up: Part
    down: Part
    gate: Part | None

    @property
    def width(self) -> int:
        """Hidden units."""
        return int(self.up.module.out_features)


@dataclass(frozen=True, eq=False)
class Block(Part):
    """A block of a stack.

    Attributes:
        stack: ``"encoder"`` or ``"decoder"``.
        index: its place in the stack.
        attention: self-attention.
        cross: attention to the encoder, where the decoder has it.
        mlp: the feed-forward part.
        norms: normalisations, in the order in which they run.
    """

    stack: StackKind
    index: int
    attention: Attention
    cross: Attention | None
    mlp: Mlp
    norms: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of a transformer.

    Attributes:
        architecture: name of its family.
        blocks: all blocks, the encoder's first.
        words: embeddings of tokens.
        positions: embeddings of positions, or of distances; none where they are computed.
        norms: normalisations outside the blocks.
        heads: what reads the last block: poolers, classifiers, the head of a language model.
        unembedding: the layer that gives a score to each token of the vocabulary, where there is one.
    """

    architecture: str
    blocks: tuple[Block, ...]
    words: Part
    positions: tuple[Part, ...]
    norms: tuple[Part, ...]
    heads: tuple[Part, ...]
    unembedding: Part | None

    def stack(self, kind: StackKind) -> tuple[Block, ...]:
        """Return the blocks of the encoder, or of the decoder."""
        return tuple(block for block in self.blocks if block.stack == kind)


@dataclass(frozen=True, eq=False)
class ConvNet:
    """The parts of a convolutional network.

    Attributes:
        convolutions: in the order in which they run where an example was given, else in the order of the model's modules.
        norms: normalisations.
        linears: fully connected layers; the last gives the scores of the classes.
    """

    convolutions: tuple[Part, ...]
    norms: tuple[Part, ...]
    linears: tuple[Part, ...]

    @property
    def last(self) -> Part:
        """The last convolution, whose maps class activation maps weigh."""
        return self.convolutions[-1]

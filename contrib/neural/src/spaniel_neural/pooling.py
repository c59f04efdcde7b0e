"""Token vectors → one vector a text, exactly: padding never counts.

Everywhere ``hidden`` is ``(texts, tokens, dimensions)``, padded on the right, and ``lengths`` is ``(texts,)`` int64: the
tokens of each text, at least 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from spaniel import UsageError
from torch import Tensor

Pooling = Literal["mean", "cls", "last-token", "max", "weighted-mean"]
"""How token vectors become one; ``cls`` is the first token, ``weighted-mean`` weighs the n-th token by n."""


def padding_of(lengths: Tensor, tokens: int) -> Tensor:
    """Return where rows are filled up: ``(texts, tokens)`` bool."""
    return torch.arange(tokens, device=lengths.device) >= lengths[:, None]


def pool(hidden: Tensor, lengths: Tensor, mode: str) -> Tensor:
    """Pool token vectors: ``(texts, dimensions)``.

    Args:
        mode: one of :data:`Pooling`. The weighted mean is that of Muennighoff (SGPT, 2022, equation 2).

    Raises:
        UsageError: there is no such mode.
    """
    if mode == "cls":
        return hidden[:, 0]
    if mode == "last-token":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
    if mode not in get_args(Pooling):
        raise UsageError(f"pooling={mode}; it can be {', '.join(get_args(Pooling))}")
    # What stands in the padding may be anything, NaN included, so it is replaced, not multiplied away.
    padding = padding_of(lengths, hidden.shape[1])[:, :, None]
    if mode == "max":
        return hidden.masked_fill(padding, -torch.inf).amax(dim=1)
    hidden = hidden.masked_fill(padding, 0.0)
    if mode == "mean":
        return hidden.sum(dim=1) / lengths[:, None]
    weights = torch.arange(1, hidden.shape[1] + 1, device=hidden.device, dtype=hidden.dtype)
    return (hidden * weights[:, None]).sum(dim=1) / (lengths * (lengths + 1) / 2)[:, None].to(hidden.dtype)


def pool_layers(hidden: Sequence[Tensor], layers: Sequence[int], lengths: Tensor, mode: str) -> Tensor:
    """Pool the token vectors of several layers: ``(texts, layers, dimensions)``.

    Args:
        hidden: a tensor a layer, the embeddings first, as transformers' ``output_hidden_states`` gives them.
        layers: which; negative ones count from the last.

    Raises:
        UsageError: there is no such layer or mode.
    """
    return torch.stack([pool(hidden[at], lengths, mode) for at in check_layers(layers, len(hidden) - 1)], dim=1)


def check_layers(layers: Sequence[int], blocks: int) -> list[int]:
    """Return layers counted from 0, the embeddings' output, to ``blocks``, the last block's.

    Raises:
        UsageError: there is no such layer, or none is named.
    """
    wrong = [layer for layer in layers if not -blocks - 1 <= layer <= blocks]
    if wrong or not layers:
        raise UsageError(f"layers={list(layers)}: layers go from 0 (the embeddings) to {blocks}, or back from -1")
    return [layer % (blocks + 1) for layer in layers]


def segment_means(hidden: Tensor, segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean token vector of each segment of a text, such as a word, a sentence or a field.

    Args:
        segments: ``(texts, tokens)`` int64, the segment that each token belongs to, below ``count``; negative for none,
            as for padding and special tokens.
        count: segments of a text at most.

    Returns:
        ``(texts, count, dimensions)``, zeros where a segment has no token, and ``(texts, count)`` int64 tokens of each.

    Raises:
        UsageError: a segment is ``count`` or more.
    """
    if segments.numel() and int(segments.max()) >= count:
        raise UsageError(f"segment {int(segments.max())} of {count}: segments are counted from 0")
    texts, dimensions = len(hidden), hidden.shape[2]
    owned = segments >= 0
    place = (segments + count * torch.arange(texts, device=hidden.device)[:, None])[owned]
    sums = hidden.new_zeros(texts * count, dimensions).index_add(0, place, hidden[owned])
    sizes = torch.bincount(place, minlength=texts * count)
    means = sums / sizes.clamp(min=1)[:, None].to(hidden.dtype)
    return means.reshape(texts, count, dimensions), sizes.reshape(texts, count)

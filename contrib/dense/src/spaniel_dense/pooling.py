"""Token vectors → one vector a text, exactly: padding never counts."""

from __future__ import annotations

import torch
from torch import Tensor


def pool(hidden: Tensor, lengths: Tensor, mode: str) -> Tensor:
    """Pool token vectors.

    Args:
        hidden: ``(texts, tokens, dimensions)``, padded on the right.
        lengths: ``(texts,)`` int64, tokens of each text, at least 1.
        mode: ``"mean"``, ``"cls"`` (the first token), ``"last-token"`` or ``"max"``.

    Returns:
        ``(texts, dimensions)``
    """
    if mode == "cls":
        return hidden[:, 0]
    if mode == "last-token":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
    padding = torch.arange(hidden.shape[1], device=hidden.device) >= lengths[:, None]
    if mode == "max":
        return hidden.masked_fill(padding[:, :, None], -torch.inf).amax(dim=1)
    return hidden.masked_fill(padding[:, :, None], 0.0).sum(dim=1) / lengths[:, None]

"""Selecting the best of score matrices, exactly under the tie rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel.data import topk as exact_topk

if TYPE_CHECKING:
    import torch

Found = tuple[NDArray[np.int32], NDArray[np.float32]]


def topk(scores: torch.Tensor, k: int) -> Found:
    """Return columns and scores, ``(lines, min(k, n))``: score descending, then column ascending.

    torch selects; lines on which it had to choose among equal scores at the cut are selected again by the exact rule.
    """
    k = min(k, scores.shape[1])
    values, columns = scores.topk(k, dim=1)
    rows, best = columns.numpy().astype(np.int32), values.numpy()
    if k < scores.shape[1]:
        threshold = values[:, -1:]
        cut = ((scores >= threshold).sum(1) > k).numpy()
        if cut.any():
            lines = np.flatnonzero(cut)
            rows[lines], best[lines] = exact_topk(scores[lines].numpy(), k)
    order = np.lexsort((rows, -best), axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(best, order, axis=1)


def merge(one: Found, two: Found, k: int) -> Found:
    """Return the best ``k`` of two selections over different documents."""
    rows, scores = np.concatenate([one[0], two[0]], axis=1), np.concatenate([one[1], two[1]], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

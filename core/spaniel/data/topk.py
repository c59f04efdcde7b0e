"""The best entries of score matrices, exactly under the tie rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def topk(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the ``k`` highest scores of each line with their columns: score descending, then column ascending.

    Args:
        scores: ``(lines, n)`` float32; entries of -inf are never returned.
        k: how many; at most ``n`` are returned.

    Returns:
        columns ``(lines, min(k, n))`` int32, -1 where a line has fewer finite entries, and their scores (-inf there).
    """
    lines, n = scores.shape
    k = min(k, n)
    if k <= 0:
        return np.empty((lines, 0), np.int32), np.empty((lines, 0), np.float32)
    if k < n:
        columns = np.argpartition(-scores, k - 1, axis=1)[:, :k].astype(np.int32)
        values = np.take_along_axis(scores, columns, axis=1)
        threshold = values.min(axis=1)
        # Which of the columns at the threshold were taken is arbitrary: lines that left some out are repaired.
        tied = np.flatnonzero((scores == threshold[:, None]).sum(axis=1) > (values == threshold[:, None]).sum(axis=1))
        for line in tied:
            above = np.flatnonzero(scores[line] > threshold[line])
            level = np.flatnonzero(scores[line] == threshold[line])[: k - len(above)]
            columns[line] = np.concatenate([above, level])
        values[tied] = np.take_along_axis(scores[tied], columns[tied], axis=1)
    else:
        columns = np.tile(np.arange(n, dtype=np.int32), (lines, 1))
        values = scores
    order = np.lexsort((columns, -values), axis=1)
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    columns[np.isneginf(values)] = -1
    return columns, values

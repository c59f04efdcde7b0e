"""The best entries of score matrices, exactly under the tie rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spaniel.errors import UsageError


def topk(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the ``k`` highest scores of each line with their columns: score descending, then column ascending.

    Args:
        scores: ``(lines, n)`` float32; entries of -inf are never returned.
        k: how many; at most ``n`` are returned.

    Returns:
        columns ``(lines, min(k, n))`` int32, -1 where a line has fewer entries above -inf, and their scores.

    Raises:
        UsageError: ``k`` is negative, a score is NaN, or the scores are no matrix.
    """
    if k < 0 or np.ndim(scores) != 2:
        raise UsageError(f"topk takes a matrix and k of at least 0, not {np.ndim(scores)} dimensions and {k}")
    with np.errstate(over="ignore"):
        scores = np.asarray(scores, np.float32)
    lines, n = scores.shape
    k = min(k, n)
    if not k or not lines:
        return np.empty((lines, k), np.int32), np.empty((lines, k), np.float32)
    highest = scores.max(axis=1)
    if np.isnan(highest).any():
        raise UsageError(f"line {int(np.flatnonzero(np.isnan(highest))[0])} has a score that is not a number (NaN)")
    columns = _select(scores, k) if k < n else np.tile(np.arange(n, dtype=np.int32), (lines, 1))
    # Columns ascend, so that a stable sort leaves them so among equal scores.
    columns.sort(axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    columns[np.isneginf(values)] = -1
    return columns, values


def _select(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Return the columns of the ``k`` best of each line, in no order."""
    columns = np.argpartition(scores, -k, axis=1)[:, -k:].astype(np.int32)
    values = np.take_along_axis(scores, columns, axis=1)
    threshold = values.min(axis=1, keepdims=True)
    # Which of the columns at the threshold were taken is arbitrary: lines that left some out are repaired.
    for line in np.flatnonzero(np.count_nonzero(scores >= threshold, axis=1) > k):
        above = np.flatnonzero(scores[line] > threshold[line])
        level = np.flatnonzero(scores[line] == threshold[line])
        columns[line] = np.concatenate([above, level[: k - len(above)]])
    return columns

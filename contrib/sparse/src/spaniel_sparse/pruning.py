"""From weights of a whole vocabulary to sparse rows, with the greatest terms kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel.data import SparseVectors


class Rows(NamedTuple):
    """Terms above 0 of some texts: which text, which term, what weight; by text, then term."""

    positions: NDArray[np.int64]
    terms: NDArray[np.int32]
    weights: NDArray[np.float32]


def keep_greatest(weights: torch.Tensor, positions: NDArray[np.int64], keep: int | None) -> Rows:
    """Return the terms above 0 of ``(texts, vocabulary)`` weights: all, or the greatest of each text, the lower number first.

    Args:
        weights: float32, 0 or more.
        positions: ``(texts,)`` which texts these are.
        keep: how many terms a text has at most.
    """
    lines, terms = (array.cpu().numpy() for array in weights.nonzero(as_tuple=True))
    values = weights[weights > 0].float().cpu().numpy()
    if keep is not None and len(lines):
        order = np.lexsort((terms, -values, lines))
        counts = np.bincount(lines, minlength=len(weights))
        ranks = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = np.sort(order[ranks < keep])
        lines, terms, values = lines[kept], terms[kept], values[kept]
    return Rows(positions[lines], terms.astype(np.int32), values)


def join_rows(parts: Sequence[Rows], texts: int, width: int) -> SparseVectors:
    """Return the vectors of texts whose rows came in parts, each text in one part."""
    positions = np.concatenate([np.empty(0, np.int64), *(part.positions for part in parts)])
    order = np.argsort(positions, kind="stable")
    indptr = np.zeros(texts + 1, np.int64)
    np.cumsum(np.bincount(positions, minlength=texts), out=indptr[1:])
    terms = np.concatenate([np.empty(0, np.int32), *(part.terms for part in parts)])[order]
    weights = np.concatenate([np.empty(0, np.float32), *(part.weights for part in parts)])[order]
    return SparseVectors(indptr, terms, weights, width)

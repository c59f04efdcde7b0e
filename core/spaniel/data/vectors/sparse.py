"""Weights of terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spaniel.data.vectors.common import (
    BLOCK,
    Metric,
    as_positions,
    blocks,
    check,
    check_metric,
    check_offsets,
    take_ragged,
)


@dataclass(frozen=True, eq=False)
class SparseVectors:
    """Weights of terms, as compressed rows; a term comes at most once in a row.

    Attributes:
        indptr: ``(n + 1,)`` int64; the terms of row ``i`` are ``indptr[i]:indptr[i + 1]``.
        indices: ``(entries,)`` int32 term numbers.
        values: ``(entries,)`` float32 weights.
        width: size of the vocabulary.

    Raises:
        UsageError: the arrays have other types, or do not fit together.
    """

    form: ClassVar[str] = "sparse"

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int
    metric: Metric = "dot"

    def __post_init__(self) -> None:
        fits = self.indices.dtype == np.int32 and self.values.dtype == np.float32
        fits = fits and self.indices.ndim == 1 and self.indices.shape == self.values.shape
        check(fits, "sparse vectors have as many int32 terms as float32 weights")
        check_offsets(self.indptr, len(self.values), "the offsets of sparse vectors")
        check_metric(self.metric)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, part: slice) -> SparseVectors:
        first, last, step = part.indices(len(self))
        if step != 1:
            return self.take(range(first, last, step))
        last = max(first, last)
        entries = slice(self.indptr[first], self.indptr[last])
        indptr = self.indptr[first : last + 1] - self.indptr[first]
        return SparseVectors(indptr, self.indices[entries], self.values[entries], self.width, self.metric)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> SparseVectors:
        """Return the vectors of some rows, in their order."""
        indptr, positions = take_ragged(self.indptr, as_positions(rows, len(self)))
        return SparseVectors(indptr, self.indices[positions], self.values[positions], self.width, self.metric)

    def dot(self, other: SparseVectors) -> NDArray[np.float32]:
        """Return inner products: ``(len(self), len(other))`` float32.

        Entries of ``other`` are read in blocks, and only those whose term some own row has are multiplied.

        Raises:
            UsageError: the vocabularies have other sizes.
        """
        check(self.width == other.width, f"sparse vectors over {self.width} and {other.width} terms do not compare")
        product = np.zeros((len(self), len(other)), np.float32)
        mine = np.zeros(self.width, bool)
        mine[self.indices] = True
        weights = np.zeros(self.width, np.float32)
        for first, last in blocks(other.indptr, BLOCK):
            part = slice(other.indptr[first], other.indptr[last])
            owners = np.repeat(np.arange(last - first), np.diff(other.indptr[first : last + 1]))
            shared = np.flatnonzero(mine[other.indices[part]])
            owners, terms, values = owners[shared], other.indices[part][shared], other.values[part][shared]
            for row in range(len(self)):
                own = slice(self.indptr[row], self.indptr[row + 1])
                weights[self.indices[own]] = self.values[own]
                product[row, first:last] = np.bincount(owners, weights[terms] * values, minlength=last - first)
                weights[self.indices[own]] = 0
        return product

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"indptr": self.indptr, "indices": self.indices, "values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric, "width": self.width}

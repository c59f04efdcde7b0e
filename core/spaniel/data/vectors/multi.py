"""Several vectors a text."""

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
class MultiVectors:
    """Several vectors a text: row ``i`` owns ``values[offsets[i]:offsets[i + 1]]``.

    Attributes:
        offsets: ``(n + 1,)`` int64.
        values: ``(m, dimensions)`` float32, float16 or int8.

    Raises:
        UsageError: the arrays have other types, or do not fit together.
    """

    form: ClassVar[str] = "multi-vector"

    offsets: NDArray[np.int64]
    values: NDArray[Any]
    metric: Metric = "dot"

    def __post_init__(self) -> None:
        fits = self.values.ndim == 2 and self.values.dtype in (np.float32, np.float16, np.int8)
        what = f"{self.values.shape} {self.values.dtype}"
        check(fits, f"multi-vectors are a matrix of float32, float16 or int8, not {what}")
        check_offsets(self.offsets, len(self.values), "the offsets of multi-vectors")
        check_metric(self.metric)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, part: slice) -> MultiVectors:
        first, last, step = part.indices(len(self))
        if step != 1:
            return self.take(range(first, last, step))
        last = max(first, last)
        offsets = self.offsets[first : last + 1]
        return MultiVectors(offsets - offsets[0], self.values[offsets[0] : offsets[-1]], self.metric)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> MultiVectors:
        """Return the vectors of some rows, in their order."""
        offsets, positions = take_ragged(self.offsets, as_positions(rows, len(self)))
        return MultiVectors(offsets, self.values[positions], self.metric)

    def maxsim(self, other: MultiVectors) -> NDArray[np.float32]:
        """Return, for each own row and each row of ``other``, the sum over own vectors of the largest inner product.

        ``(len(self), len(other))`` float32; 0 where either row has no vectors. Source: Khattab and Zaharia (ColBERT),
        SIGIR 2020, equation 3.

        Raises:
            UsageError: the vectors have other dimensions.
        """
        width = self.values.shape[1]
        check(
            width == other.values.shape[1], f"vectors of {width} and {other.values.shape[1]} dimensions do not compare"
        )
        mine = self.values.astype(np.float32, copy=False)
        owned = np.flatnonzero(np.diff(self.offsets))
        total = np.zeros((len(self), len(other)), np.float32)
        if not len(owned):
            return total
        for first, last in blocks(other.offsets, BLOCK // max(len(mine), width, 1)):
            offsets = other.offsets[first : last + 1]
            filled = np.flatnonzero(np.diff(offsets))
            if not len(filled):
                continue
            product = mine @ other.values[offsets[0] : offsets[-1]].astype(np.float32, copy=False).T
            best = np.maximum.reduceat(product, offsets[:-1][filled] - offsets[0], axis=1)
            total[np.ix_(owned, first + filled)] = np.add.reduceat(best, self.offsets[:-1][owned], axis=0)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"offsets": self.offsets, "values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric}

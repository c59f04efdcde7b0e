"""One bit vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spaniel.data.vectors.common import BLOCK, Metric, as_positions, check, check_metric


@dataclass(frozen=True, eq=False)
class BinaryVectors:
    """One bit vector a text, packed: ``values`` is ``(n, bits / 8)`` uint8, as :func:`numpy.packbits` packs.

    Where ``bits`` is no multiple of 8 the rest of the last byte is 0.

    Raises:
        UsageError: the values have another type or shape.
    """

    form: ClassVar[str] = "binary"

    values: NDArray[np.uint8]
    bits: int
    metric: Metric = "hamming"

    def __post_init__(self) -> None:
        width = -(-self.bits // 8)
        fits = self.values.ndim == 2 and self.values.dtype == np.uint8 and self.values.shape[1] == width
        what = f"{self.values.shape} {self.values.dtype}"
        check(fits, f"vectors of {self.bits} bits are a uint8 matrix of {width} columns, not {what}")
        check_metric(self.metric)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> BinaryVectors:
        return BinaryVectors(self.values[part], self.bits, self.metric)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> BinaryVectors:
        """Return the vectors of some rows, in their order."""
        return BinaryVectors(self.values[as_positions(rows, len(self))], self.bits, self.metric)

    def hamming(self, other: BinaryVectors) -> NDArray[np.int32]:
        """Return the numbers of differing bits: ``(len(self), len(other))`` int32.

        Raises:
            UsageError: the vectors have other numbers of bits.
        """
        check(self.bits == other.bits, f"vectors of {self.bits} and {other.bits} bits do not compare")
        counts = np.empty((len(self), len(other)), np.int32)
        step = max(1, BLOCK // max(1, self.values.shape[1]))
        for start in range(0, len(other), step):
            mine, theirs = _words(self.values), _words(other.values[start : start + step])
            for row, value in enumerate(mine):
                counts[row, start : start + step] = np.bitwise_count(theirs ^ value).sum(axis=1, dtype=np.int32)
        return counts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric, "bits": self.bits}


def _words(values: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the bits as the widest words that the rows divide into; fewer words are counted faster."""
    width = next(width for width in (8, 4, 2, 1) if values.shape[1] % width == 0)
    return np.ascontiguousarray(values).view(f"u{width}")

"""One vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spaniel.data.vectors.common import BLOCK, Metric, as_positions, check, check_metric


@dataclass(frozen=True, eq=False)
class DenseVectors:
    """One vector a text: ``values`` is ``(n, dimensions)`` float32, float16 or int8.

    Raises:
        UsageError: the values are something else.
    """

    form: ClassVar[str] = "dense"

    values: NDArray[Any]
    metric: Metric = "dot"

    def __post_init__(self) -> None:
        fits = self.values.ndim == 2 and self.values.dtype in (np.float32, np.float16, np.int8)
        what = f"{self.values.shape} {self.values.dtype}"
        check(fits, f"dense vectors are a matrix of float32, float16 or int8, not {what}")
        check_metric(self.metric)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> DenseVectors:
        return DenseVectors(self.values[part], self.metric)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> DenseVectors:
        """Return the vectors of some rows, in their order."""
        return DenseVectors(self.values[as_positions(rows, len(self))], self.metric)

    def dot(self, other: DenseVectors) -> NDArray[np.float32]:
        """Return inner products, computed in float32: ``(len(self), len(other))``.

        Raises:
            UsageError: the vectors have other dimensions.
        """
        width = self.values.shape[1]
        check(
            width == other.values.shape[1], f"vectors of {width} and {other.values.shape[1]} dimensions do not compare"
        )
        mine = self.values.astype(np.float32, copy=False)
        product = np.empty((len(self), len(other)), np.float32)
        step = max(1, BLOCK // max(1, width))
        for start in range(0, len(other), step):
            part = slice(start, start + step)
            np.matmul(mine, other.values[part].astype(np.float32, copy=False).T, out=product[:, part])
        return product

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric}

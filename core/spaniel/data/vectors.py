"""Vectors: dense, sparse, several a text, and binary; in memory or mapped from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spaniel.errors import ArtifactError, UsageError

Metric = Literal["cosine", "dot", "hamming"]
DESCRIPTION = "vectors.json"


@dataclass(frozen=True)
class DenseVectors:
    """One vector a text: ``values`` is ``(n, dimensions)`` float32, float16 or int8."""

    form: ClassVar[str] = "dense"

    values: NDArray[Any]
    metric: Metric = "dot"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype not in (np.float32, np.float16, np.int8):
            what = f"{self.values.shape} {self.values.dtype}"
            raise UsageError(f"dense vectors are a matrix of float32, float16 or int8, not {what}")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> DenseVectors:
        return DenseVectors(self.values[part], self.metric)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> DenseVectors:
        """Return the vectors of some rows, in their order."""
        return DenseVectors(self.values[np.asarray(rows, np.int64)], self.metric)

    def dot(self, other: DenseVectors) -> NDArray[np.float32]:
        """Return inner products: ``(len(self), len(other))`` float32."""
        product: NDArray[np.float32] = self.values.astype(np.float32) @ other.values.astype(np.float32).T
        return product

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric}


@dataclass(frozen=True)
class SparseVectors:
    """Weights of terms, as compressed rows.

    Attributes:
        indptr: ``(n + 1,)`` int64; the terms of row ``i`` are ``indptr[i]:indptr[i + 1]``.
        indices: ``(entries,)`` int32 term numbers.
        values: ``(entries,)`` float32 weights.
        width: size of the vocabulary.
    """

    form: ClassVar[str] = "sparse"

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int
    metric: Metric = "dot"

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, part: slice) -> SparseVectors:
        return self.take(range(*part.indices(len(self))))

    def take(self, rows: Sequence[int] | NDArray[Any]) -> SparseVectors:
        """Return the vectors of some rows, in their order."""
        indptr, positions = _take_ragged(self.indptr, rows)
        return SparseVectors(indptr, self.indices[positions], self.values[positions], self.width, self.metric)

    def dot(self, other: SparseVectors) -> NDArray[np.float32]:
        """Return inner products: ``(len(self), len(other))`` float32."""
        if self.width != other.width:
            raise UsageError(f"sparse vectors over {self.width} and {other.width} terms cannot be compared")
        product = np.zeros((len(self), len(other)), np.float32)
        owners = np.repeat(np.arange(len(other)), np.diff(other.indptr))
        weights = np.zeros(self.width, np.float32)
        for row in range(len(self)):
            part = slice(self.indptr[row], self.indptr[row + 1])
            weights[self.indices[part]] = self.values[part]
            product[row] = np.bincount(owners, weights[other.indices] * other.values, minlength=len(other))
            weights[self.indices[part]] = 0
        return product

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"indptr": self.indptr, "indices": self.indices, "values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric, "width": self.width}


@dataclass(frozen=True)
class MultiVectors:
    """Several vectors a text: row ``i`` owns ``values[offsets[i]:offsets[i + 1]]``, ``(m, dimensions)``."""

    form: ClassVar[str] = "multi-vector"

    offsets: NDArray[np.int64]
    values: NDArray[Any]
    metric: Metric = "dot"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, part: slice) -> MultiVectors:
        return self.take(range(*part.indices(len(self))))

    def take(self, rows: Sequence[int] | NDArray[Any]) -> MultiVectors:
        """Return the vectors of some rows, in their order."""
        offsets, positions = _take_ragged(self.offsets, rows)
        return MultiVectors(offsets, self.values[positions], self.metric)

    def maxsim(self, other: MultiVectors) -> NDArray[np.float32]:
        """Return, for each own row and each row of ``other``, the sum over own vectors of the largest inner product.

        ``(len(self), len(other))`` float32; 0 where either row has no vectors.
        """
        product = self.values.astype(np.float32) @ other.values.astype(np.float32).T
        best = np.zeros((len(product), len(other)), np.float32)
        filled = np.flatnonzero(np.diff(other.offsets))
        if len(filled) and len(product):
            best[:, filled] = np.maximum.reduceat(product, other.offsets[:-1][filled], axis=1)
        total = np.zeros((len(self), len(other)), np.float32)
        owned = np.flatnonzero(np.diff(self.offsets))
        if len(owned):
            total[owned] = np.add.reduceat(best, self.offsets[:-1][owned], axis=0)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"offsets": self.offsets, "values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric}


@dataclass(frozen=True)
class BinaryVectors:
    """One bit vector a text, packed: ``values`` is ``(n, bits / 8)`` uint8, as :func:`numpy.packbits` packs."""

    form: ClassVar[str] = "binary"

    values: NDArray[np.uint8]
    bits: int
    metric: Metric = "hamming"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> BinaryVectors:
        return BinaryVectors(self.values[part], self.bits, self.metric)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> BinaryVectors:
        """Return the vectors of some rows, in their order."""
        return BinaryVectors(self.values[np.asarray(rows, np.int64)], self.bits, self.metric)

    def hamming(self, other: BinaryVectors) -> NDArray[np.int32]:
        """Return the numbers of differing bits: ``(len(self), len(other))`` int32."""
        if self.bits != other.bits:
            raise UsageError(f"vectors of {self.bits} and {other.bits} bits cannot be compared")
        counts = np.empty((len(self), len(other)), np.int32)
        for row, value in enumerate(self.values):
            counts[row] = np.bitwise_count(other.values ^ value).sum(axis=1)
        return counts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        return {"values": self.values}

    def facts(self) -> dict[str, Any]:
        """Return what is saved beside the arrays."""
        return {"metric": self.metric, "bits": self.bits}


Vectors: TypeAlias = DenseVectors | SparseVectors | MultiVectors | BinaryVectors
_FORMS: Mapping[str, Any] = {v.form: v for v in (DenseVectors, SparseVectors, MultiVectors, BinaryVectors)}
OFFSETS = ("indptr", "offsets")
"""Names of the arrays that hold where each row begins."""


def _take_ragged(offsets: NDArray[np.int64], rows: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    chosen = np.asarray(rows, dtype=np.int64)
    lengths = np.diff(offsets)[chosen]
    taken = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return taken, np.arange(taken[-1]) + np.repeat(offsets[:-1][chosen] - taken[:-1], lengths)


def save_vectors(vectors: Vectors, folder: Path) -> None:
    """Write vectors to a folder: one .npy file an array, and a description."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in vectors.arrays().items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    write_description(folder, vectors.form, len(vectors), vectors.facts())


def write_description(folder: Path, form: str, rows: int, facts: Mapping[str, Any]) -> None:
    """Write the description of a folder of vectors."""
    content = {"form": form, "rows": rows, **facts}
    (folder / DESCRIPTION).write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")


def open_vectors(folder: Path) -> Vectors:
    """Open vectors, memory-mapped.

    Raises:
        ArtifactError: the folder holds none, or they are damaged.
    """
    where = folder / DESCRIPTION
    try:
        content = json.loads(where.read_bytes())
        make, rows = _FORMS[content.pop("form")], int(content.pop("rows"))
        names = [field.name for field in fields(make) if field.name not in content]
        arrays = {}
        for name in names:
            where = folder / f"{name}.npy"
            arrays[name] = np.load(where, mmap_mode="r", allow_pickle=False)
            if name in OFFSETS and (arrays[name].ndim != 1 or arrays[name].dtype != np.int64):
                raise ValueError("it holds no offsets")
        where = folder / DESCRIPTION
        vectors: Vectors = make(**arrays, **content)
        if len(vectors) != rows:
            raise ValueError(f"it says {rows} rows, the arrays hold {len(vectors)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, UsageError, RecursionError) as error:
        raise ArtifactError(where, f"is damaged ({error}); remove the artifact and build it again") from error
    return vectors

"""Vectors and rows, checked, measured and cut into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import DenseVectors

if TYPE_CHECKING:
    from spaniel.store import Draft

BLOCK = 2**22
"""Numbers in a block of documents, and in a block of scores: 16 MiB each."""


def checked_vectors(source: Any, name: str) -> DenseVectors:
    """Return dense vectors.

    Raises:
        UsageError: they are something else, or compare by something else than cosine or dot.
    """
    if not isinstance(source, DenseVectors):
        raise UsageError(f"{name} indexes dense vectors, not {getattr(source, 'form', type(source).__name__)}")
    if source.metric not in ("cosine", "dot"):
        raise UsageError(f"{name} compares dense vectors by cosine or dot, not by {source.metric}")
    return source


def measure(vectors: DenseVectors, draft: Draft | None = None) -> NDArray[np.float32]:
    """Return the lengths of vectors, ``(n,)`` float32.

    Raises:
        UsageError: a vector is not finite, or its length has no square in single precision.
    """
    advance = draft.progress(len(vectors), "vectors") if draft is not None else lambda done: None
    lengths = np.empty(len(vectors), np.float32)
    for start, block in blocks(vectors.values, vectors.values.shape[1]):
        with np.errstate(over="ignore"):
            lengths[start : start + len(block)] = np.linalg.norm(block, axis=1)
        advance(len(block))
    if not np.isfinite(lengths).all():
        row = int(np.flatnonzero(~np.isfinite(lengths))[0])
        raise UsageError(f"the vector of row {row} is not finite, or longer than 1.8e19")
    return lengths


def as_rows(rows: Any, size: int) -> NDArray[np.int32]:
    """Return rows as an array.

    Raises:
        UsageError: they are not so many, out of range, or one comes twice.
    """
    given = np.asarray(rows)
    if given.shape != (size,) or (size and given.dtype.kind not in "iu"):
        raise UsageError(f"{size} documents need one whole number each as their row, not {given.dtype} {given.shape}")
    if size and (given.min() < 0 or given.max() > np.iinfo(np.int32).max):
        raise UsageError(f"rows are from 0 to {np.iinfo(np.int32).max}, not from {given.min()} to {given.max()}")
    unique, counts = np.unique(given, return_counts=True)
    if len(unique) < size:
        raise UsageError(f"row {unique[counts > 1][0]} comes twice")
    return given.astype(np.int32)


def blocks(values: NDArray[Any], numbers: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row and the float32 values of blocks of rows; a row counts ``numbers`` of a block's."""
    rows = max(1024, BLOCK // max(numbers, 1))
    for start in range(0, len(values), rows):
        yield start, np.asarray(values[start : start + rows], np.float32)


def reciprocal(lengths: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 over lengths, and 0 for a length of 0."""
    return np.divide(np.float32(1), lengths, out=np.zeros_like(lengths), where=lengths > 0)

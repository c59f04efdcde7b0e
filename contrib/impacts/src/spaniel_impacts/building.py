"""Writing inverted indexes with scores: of sparse vectors, and of postings at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import SparseVectors
from spaniel.store import Draft

Precision = Literal["float32", "uint8"]

Batch = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Tokens per document, and the term numbers of the tokens."""

ROWS = 50_000
"""Vectors inverted at once."""

LEVELS = 255
"""The greatest 8-bit impact; it stands for the greatest weight of its term."""

NEGATIVE, TWICE, BEYOND = 1, 2, 3
"""What can be wrong with vectors: a weight that is negative or not finite, a term twice in a row, no such term."""

_WRONG = {
    NEGATIVE: "has a weight that is negative or not finite; impacts are 0 or more",
    TWICE: "has a term twice",
    BEYOND: "has a term beyond the vocabulary",
}


def write_vectors(vectors: SparseVectors, draft: Draft, precision: Precision = "float32") -> None:
    """Write the postings of sparse vectors into a draft; entries of 0 are left out.

    With ``uint8`` each weight becomes the nearest multiple of its term's step, a 255th of its term's greatest weight. So
    no document's score moves by more than the sum over query terms of weight times half a step, a 510th of what the
    terms can add at most.

    Memory is 16 bytes a term; the vectors are read, and the postings written, through maps.

    Raises:
        UsageError: a weight is negative or not finite, or a term comes twice in a row, or is no term.
    """
    from spaniel_impacts.filling import count_weights, fill_weights  # compiled: loaded where it is needed

    df, bounds = np.zeros(vectors.width, np.int64), np.zeros(vectors.width, np.float32)
    advance = draft.progress(2 * len(vectors), "vectors")
    for start in range(0, len(vectors), ROWS):
        part = vectors.indptr[start : start + ROWS + 1]
        fault, row = count_weights(part, vectors.indices, vectors.values, start, df, bounds)
        if fault:
            raise UsageError(f"the vector of row {row} {_WRONG[fault]}")
        advance(len(part) - 1)
    indptr = np.concatenate([[0], np.cumsum(df)]).astype(np.int64)
    steps = None
    if precision == "uint8":
        # No step is 0, however small the weights.
        steps = np.maximum(bounds / np.float32(LEVELS), np.finfo(np.float32).smallest_subnormal)
        bounds = np.minimum(np.rint(bounds.astype(np.float64) / steps), LEVELS).astype(np.float32)
    indices = _map(draft, "indices", int(indptr[-1]), np.int32)
    data = _map(draft, "data", int(indptr[-1]), np.float32 if steps is None else np.uint8)
    ends = indptr[:-1].copy()
    for start in range(0, len(vectors), ROWS):
        part = vectors.indptr[start : start + ROWS + 1]
        fill_weights(part, vectors.indices, vectors.values, start, steps, ends, indices, data)
        advance(len(part) - 1)
    flush(indices, data)
    rest = {"indptr": indptr, "bounds": bounds, "steps": steps}
    write_arrays({name: array for name, array in rest.items() if array is not None}, draft)
    draft.info.update(terms=vectors.width, postings=int(indptr[-1]))


def write_arrays(arrays: dict[str, NDArray[Any]], draft: Draft) -> None:
    """Write arrays of postings into a draft, under the names of the fields of :class:`spaniel_impacts.postings.Postings`."""
    for name, array in arrays.items():
        np.save(draft.file(f"{name}.npy"), array, allow_pickle=False)


def invert_tokens(
    batches: Sequence[Batch], terms: int, draft: Draft
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Turn the tokens of documents into postings by term, in time linear in the tokens; ``indices`` and ``data`` are files.

    Returns:
        bounds ``(terms + 1,)``, and for each posting its row and how often the term occurs there, mapped from the draft; what
        is changed in these is to be flushed.
    """
    from spaniel_impacts.filling import count_tokens, fill_tokens  # compiled: loaded where it is needed

    advance = draft.progress(2 * sum(len(lengths) for lengths, _ in batches), "documents inverted")
    last, df, start = np.full(terms, -1, np.int32), np.zeros(terms, np.int64), 0
    for lengths, ids in batches:
        count_tokens(lengths, ids, start, last, df)
        start += len(lengths)
        advance(len(lengths))
    indptr = np.concatenate([[0], np.cumsum(df)]).astype(np.int64)
    indices, counts = (
        _map(draft, "indices", int(indptr[-1]), np.int32),
        _map(draft, "data", int(indptr[-1]), np.float32),
    )
    last[:], start, ends = -1, 0, indptr[:-1].copy()
    for lengths, ids in batches:
        fill_tokens(lengths, ids, start, last, ends, indices, counts)
        start += len(lengths)
        advance(len(lengths))
    return indptr, indices, counts


def flush(*arrays: NDArray[Any]) -> None:
    """Write what was changed in arrays that are files."""
    for array in arrays:
        if isinstance(array, np.memmap):
            array.flush()


def _map(draft: Draft, name: str, size: int, dtype: Any) -> NDArray[Any]:
    """Return an array that lies in a file of the draft; an empty one cannot be mapped."""
    path = draft.file(f"{name}.npy")
    if not size:
        array: NDArray[Any] = np.empty(0, dtype)
        np.save(path, array, allow_pickle=False)
        return array
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(size,))

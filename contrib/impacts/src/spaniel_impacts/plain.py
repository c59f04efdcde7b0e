"""The sweep in numpy, for little work: what is compiled takes about a second of a processor to load, whatever is asked.

The sums and their order are those of :mod:`spaniel_impacts.sweep`, and so is what is found, to the last bit.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

LITTLE = 2**26
"""Documents and postings that numpy looks at in a process before the compiled search is loaded: about half a second."""

_LAST = np.int64(2**32 - 1)
_looked_at = 0


def is_little(work: int) -> bool:
    """Whether numpy should do so much work, in documents and postings: the compiled search is not loaded, nor worth it yet."""
    return "spaniel_impacts.sweep" not in sys.modules and _looked_at + work <= LITTLE


def sweep_plainly(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32] | None,
    constants: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    documents: int,
    out: NDArray[np.int64],
) -> None:
    """Find the best documents of queries; the arguments are those of :func:`spaniel_impacts.sweep.sweep`."""
    global _looked_at
    k = out.shape[1]
    scores = np.empty(documents, np.float32)
    for query in range(len(offsets) - 1):
        scores.fill(-0.0)  # a document that is met has another sign, see :mod:`spaniel_impacts.keys`
        for place in range(offsets[query], offsets[query + 1]):
            part = slice(indptr[terms[place]], indptr[terms[place] + 1])
            added = data[part].astype(np.float32, copy=False)
            scores[indices[part]] += added if weights is None else weights[place] * added
            _looked_at += len(added)
        _looked_at += documents
        met = np.flatnonzero(scores.view(np.int32) >= 0)
        if allowed is not None:
            met = met[allowed[met]]
        bits = (scores[met] + constants[query]).view(np.int32).astype(np.int64)
        keys = (bits << 32) | (_LAST - met)
        if len(keys) > k:
            keys = np.partition(keys, len(keys) - k)[len(keys) - k :]
        out[query, : len(keys)] = keys


def unpack(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return rows and scores of keys, ``(queries, k)`` each, sorted under the tie rule; -1 and 0 where a key is -1."""
    best = np.sort(keys, axis=1)[:, ::-1]
    rows = np.where(best < 0, -1, _LAST - (best & _LAST)).astype(np.int32)
    return rows, np.where(best < 0, 0, best >> 32).astype(np.int32).view(np.float32)

"""The best documents of score blocks, exactly under the tie rule, in bounded memory.

Score and row are packed into one number whose order is the tie rule's, the best first: to sort and to partition such
keys needs no repair of ties at the cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIGN = np.uint32(0x80000000)
_ALL = np.uint32(0xFFFFFFFF)
_WORST = np.uint64(0xFFFFFFFFFFFFFFFF)


class Best:
    """The ``k`` best of each query among the blocks seen so far, which come in row order.

    Args:
        queries: how many.
        k: how many documents are kept for each; there must be as many in all blocks together.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self._keys = np.full((queries, k), _WORST, np.uint64)
        self._threshold = np.full(queries, -np.inf, np.float32)
        self._seen = np.zeros(queries, np.int64)

    def add(self, part: slice, scores: NDArray[np.float32], start: int) -> None:
        """Consider the scores ``(queries of part, n)`` of rows ``start`` to ``start + n``."""
        seen, n = int(self._seen[part.start]), scores.shape[1]
        if not seen and n > self.k:
            better = scores >= np.partition(scores, n - self.k, axis=1)[:, n - self.k, None]
        elif seen >= self.k:
            # A later row loses a tie, so only what is above the worst of the kept can enter.
            better = scores > self._threshold[part, None]
        else:
            better = np.ones(scores.shape, bool)
        self._seen[part] += n
        hits = np.flatnonzero(better)
        lines, columns = np.divmod(hits, n)
        if not len(hits):
            return
        counts = np.bincount(lines, minlength=len(scores))
        kept = self.k if seen else 0
        keys = np.full((len(scores), max(self.k, kept + int(counts.max()))), _WORST, np.uint64)
        keys[:, :kept] = self._keys[part, :kept]
        places = np.arange(len(hits)) - np.repeat(np.cumsum(counts) - counts, counts)
        keys[lines, kept + places] = pack(scores.reshape(-1)[hits], columns + start)
        if keys.shape[1] > self.k:
            keys = np.partition(keys, self.k - 1, axis=1)[:, : self.k]
        self._keys[part] = keys
        self._threshold[part] = unpack(keys.max(axis=1))[1]

    def sorted(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return rows and scores, ``(queries, k)`` each, in the order of the tie rule."""
        return unpack(np.sort(self._keys, axis=1))


def pack(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return keys that ascend as scores descend, and as rows ascend where scores are equal."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes one zero of the two
    descending = bits ^ np.where(bits & _SIGN, np.uint32(0), ~_SIGN)
    return (descending.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def unpack(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the rows and the scores of keys."""
    descending = (keys >> np.uint64(32)).astype(np.uint32)
    bits = descending ^ np.where(descending & _SIGN, np.uint32(0), ~_SIGN)
    return (keys & np.uint64(_ALL)).astype(np.int32), bits.view(np.float32)

"""Exact search over several vectors a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from spaniel import ArtifactError, Run, UsageError
from spaniel.contents import noted, require
from spaniel.data import MultiVectors, open_vectors
from spaniel.data.vectors.folder import check_folder

from spaniel_dense.files import link_vectors
from spaniel_dense.selection import Best, ranked, room

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

BLOCK = 2**20
"""Numbers in a block of document vectors, and products at once: 4 MiB each, which stay near the processor."""
CANDIDATES = 2**23
"""Candidates kept for all queries together, of eight bytes each; one query may have more."""
_FOLDER = "vectors"


class MaxSimIndexer:
    """Keeps the vectors as they are, hard-linked where they lie in files of their own."""

    can_add = False
    can_delete = False
    can_filter = True
    recall = 1.0

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing: there are no options."""
        return {}

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of multi-vectors.

        Raises:
            UsageError: the source is something else, or a vector is not finite.
        """
        if not isinstance(source, MultiVectors):
            raise UsageError(f"maxsim indexes multi-vectors, not {getattr(source, 'form', type(source).__name__)}")
        if source.metric not in ("cosine", "dot"):
            raise UsageError(f"maxsim compares vectors by cosine or dot, not by {source.metric}")
        advance = draft.progress(len(source.values), "vectors")
        step = max(1, BLOCK // max(source.values.shape[1], 1))
        for start in range(0, len(source.values), step):
            block = source.values[start : start + step]
            if not np.isfinite(block).all():
                line = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                row = int(np.searchsorted(source.offsets, line, side="right")) - 1
                raise UsageError(f"a vector of row {row} is not finite")
            advance(len(block))
        link_vectors(source, draft.file(_FOLDER))
        draft.info.update(documents=len(source), vectors=len(source.values), dimensions=source.values.shape[1])

    def check(self, artifact: Artifact) -> None:
        """Look through offsets and vectors.

        Raises:
            ArtifactError: a number is out of bounds.
        """
        check_folder(artifact.path / _FOLDER)
        vectors = self.open(artifact).vectors
        require(vectors.metric in ("cosine", "dot"), artifact.path / _FOLDER, f"compares by {vectors.metric}")
        for name, length in (
            ("documents", len(vectors)),
            ("vectors", len(vectors.values)),
            ("dimensions", vectors.values.shape[1]),
        ):
            noted(artifact, name, length, length)

    def open(self, artifact: Artifact) -> MaxSimIndex:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged.
        """
        vectors = open_vectors(artifact.path / _FOLDER)
        if not isinstance(vectors, MultiVectors):
            raise ArtifactError(artifact.path, "holds no multi-vectors; remove it and build it again")
        index = MaxSimIndex(vectors)
        if len(index):
            # The first search compiles its kernel, or loads it, which is no part of a search's time.
            one = np.ones((1, 1), np.float32)
            sum_of_largest(one, np.array([0, 1]), np.asarray(vectors.offsets[:1]), np.zeros((1, 0), np.float32))
        return index


@dataclass(frozen=True, eq=False)
class MaxSimIndex:
    """Compares every vector of a query with every vector of every document, block by block.

    The score is the sum, over the vectors of the query, of the largest inner product with a vector of the document
    (Khattab and Zaharia, 2020, equation 3); 0 for a document without vectors. Vectors are compared as they are: under
    the cosine they have length 1 already.
    """

    vectors: MultiVectors

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Any, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best rows of each query under the tie rule; a query without vectors gets an empty list.

        Memory is a few blocks, 64 MiB of candidates, one number for each query and document of a block, and eight bytes
        for each query and row that is returned.

        Raises:
            UsageError: the queries are no multi-vectors of as many dimensions, or not finite.
        """
        width = self.vectors.values.shape[1]
        if not isinstance(queries, MultiVectors) or queries.values.shape[1] != width:
            what = f"{queries.values.shape[1]}" if isinstance(queries, MultiVectors) else "no"
            raise UsageError(f"this index holds vectors of {width} dimensions; those of the queries have {what}")
        if not np.isfinite(queries.values).all():
            raise UsageError("a query vector is not finite")
        mask = np.ones(len(self), bool) if allowed is None else _fitted(allowed, len(self))
        k = min(k, int(np.count_nonzero(mask)))
        if not len(queries) or k < 1:
            return Run.empty(len(queries))
        return Run.concatenate([self._search(part, k, mask) for part in _groups(queries, k)])

    def _search(self, queries: MultiVectors, k: int, mask: NDArray[np.bool_]) -> Run:
        asked = np.ascontiguousarray(queries.values, np.float32)
        best = Best(len(queries), k)
        whole = slice(0, len(queries))
        for first, last in self._blocks(max(len(asked), asked.shape[1], 1)):
            if not mask[first:last].any():
                continue
            offsets = self.vectors.offsets[first : last + 1]
            values = np.asarray(self.vectors.values[offsets[0] : offsets[-1]], np.float32)
            scores = np.zeros((len(queries), last - first), np.float32)
            if len(values):
                sum_of_largest(asked @ values.T, queries.offsets, offsets - offsets[0], scores)
            best.add(whole, scores, np.arange(first, last), mask[first:last])
        rows, scores = best.sorted()
        rows[np.diff(queries.offsets) == 0] = -1
        return ranked(rows, scores)

    def _blocks(self, numbers: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of documents whose vectors, each counting so many numbers, fill a block; or one document."""
        offsets, first, limit = self.vectors.offsets, 0, max(1, BLOCK // numbers)
        while first < len(self):
            last = int(np.searchsorted(offsets, offsets[first] + limit, side="right")) - 1
            last = min(max(last, first + 1), len(self), first + BLOCK)
            yield first, last
            first = last


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def sum_of_largest(
    products: NDArray[np.float32],
    owners: NDArray[np.int64],
    offsets: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Reduce products of vectors to scores of texts.

    Args:
        products: ``(query vectors, document vectors)``.
        owners: ``(queries + 1,)``; the vectors of query ``q`` are ``owners[q]:owners[q + 1]``.
        offsets: ``(documents + 1,)``; those of document ``d`` are ``offsets[d]:offsets[d + 1]``.
        scores: ``(queries, documents)`` zeros, receives the scores.
    """
    for query in range(len(owners) - 1):
        line = scores[query]
        for vector in range(owners[query], owners[query + 1]):
            product = products[vector]
            for document in range(len(offsets) - 1):
                first, last = offsets[document], offsets[document + 1]
                if first == last:
                    continue
                largest = product[first]
                for at in range(first + 1, last):
                    largest = max(largest, product[at])
                line[document] += largest


def _groups(queries: MultiVectors, k: int) -> Iterator[MultiVectors]:
    """Yield queries of which few vectors are asked at once, so that a block holds many documents."""
    most, first = max(1, CANDIDATES // room(k)), 0
    while first < len(queries):
        last = int(np.searchsorted(queries.offsets, queries.offsets[first] + 512, side="right")) - 1
        last = min(max(last, first + 1), len(queries), first + most)
        yield queries[first:last]
        first = last


def _fitted(allowed: Any, size: int) -> NDArray[np.bool_]:
    mask = np.asarray(allowed)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise UsageError(f"allowed is one bool a row, not {mask.dtype} of shape {mask.shape}")
    fitted = np.zeros(size, bool)
    fitted[: len(mask)] = mask[:size]
    return fitted

"""Exact search over dense vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Run
from spaniel.data import DenseVectors

from spaniel_dense.checks import BLOCK
from spaniel_dense.kept import Kept, Segment, check_kept, keep, open_kept
from spaniel_dense.kernels import multiply
from spaniel_dense.selection import Best, ranked, room, sort_best
from spaniel_dense.threads import in_threads, threads

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

QUERIES = 256
"""Queries compared at once."""
CANDIDATES = 2**23
"""Candidates kept for all queries together, of eight bytes each; one query may have more."""
FEW = 16
"""Up to so many queries are compared without a matrix product, which takes longer to prepare than they do."""
SMALL = 8192
"""Vectors that one thread compares with few queries."""
SPARSE = 8
"""Where fewer than one document in so many is allowed, only the allowed ones are compared."""
_ALL = np.empty(0, bool)


class FlatIndexer:
    """Keeps the vectors as they are, and their lengths where a cosine has to divide by them.

    Vectors that lie in a file of their own, as encoded corpora do, are hard-linked into the index, so that they take no
    room twice; where the file system has no hard links they are copied.
    """

    can_add = True
    can_delete = True
    can_filter = True
    recall = 1.0

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing: there are no options."""
        return {}

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of dense vectors.

        Raises:
            UsageError: the source is something else, or a vector is not finite.
        """
        keep(source, draft, "flat")

    def check(self, artifact: Artifact) -> None:
        """Look through vectors, lengths and rows.

        Raises:
            ArtifactError: a number is out of bounds.
        """
        check_kept(artifact)

    def open(self, artifact: Artifact) -> FlatIndex:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged.
        """
        kept = open_kept(artifact)
        warm(kept)
        return FlatIndex(kept)


class FlatIndex:
    """Compares every query with every vector that may be returned, block by block.

    Args:
        kept: the vectors.
    """

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def __len__(self) -> int:
        return len(self.kept)

    def search(self, queries: Any, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best rows of each query, exactly under the tie rule.

        Memory is a few blocks, 64 MiB of candidates, and eight bytes for each query and row that is returned.

        Raises:
            UsageError: the queries are no dense vectors of as many dimensions, or ``allowed`` is no mask.
        """
        return search_exactly(self.kept, self.kept.checked(queries), k, self.kept.eligible(allowed))

    def add(self, source: Any, rows: NDArray[Any]) -> None:
        """Take in vectors of the same type, dimensions and metric under rows of their own."""
        self.kept.add(source, rows)

    def delete(self, rows: NDArray[Any]) -> None:
        """Let documents go."""
        self.kept.delete(rows)

    def save(self, draft: Draft) -> None:
        """Write the vectors that are left."""
        self.kept.save(draft)


def warm(kept: Kept) -> None:
    """Load the compiled kernels of a search, which is no part of its time: have it search the first vector alone."""
    first = kept.segments[0]
    if len(first.values):
        few = Kept(DenseVectors(first.values[:1], kept.metric), None, kept.rows[:1], kept.longest)
        few.segments = [Segment(0, first.values[:1], None if first.scale is None else first.scale[:1])]
        search_exactly(few, np.ones((1, kept.dimensions), np.float32), 1, None)


def search_exactly(kept: Kept, asked: NDArray[np.float32], k: int, eligible: NDArray[np.bool_] | None) -> Run:
    """Return the ``k`` best rows of each query among the eligible positions, exactly under the tie rule.

    Args:
        kept: the vectors.
        asked: queries, as :meth:`Kept.checked` returns them.
        k: how many.
        eligible: ``(positions,)`` bool, or ``None`` for all.
    """
    k = min(k, len(kept) if eligible is None else int(np.count_nonzero(eligible)))
    if not len(asked) or k < 1:
        return Run.empty(len(asked))
    group = max(QUERIES, CANDIDATES // room(k))
    if len(asked) <= group:
        return _search_group(kept, asked, k, eligible)
    parts = [asked[start : start + group] for start in range(0, len(asked), group)]
    return Run.concatenate([_search_group(kept, part, k, eligible) for part in parts])


def _search_group(kept: Kept, asked: NDArray[np.float32], k: int, eligible: NDArray[np.bool_] | None) -> Run:
    margins = kept.margins(asked)
    best = Best(len(asked), k, margins)
    # A block that is converted is a copy, others are read where they lie.
    copied = 0 if kept.dtype == np.float32 else kept.dimensions
    for places, values, scale, count in _blocks(kept, eligible, max(min(len(asked), QUERIES), copied)):
        for first in range(0, len(asked), QUERIES):
            part = slice(first, first + QUERIES)
            # What overflows here belongs to queries whose margin is infinite, which are answered otherwise.
            with np.errstate(over="ignore", invalid="ignore"):
                scores = _multiply(asked[part], values)
                if scale is not None:
                    scores *= scale
            best.add(part, scores, places, count)
    offsets, positions, crowded = best.candidates()
    scores = kept.score(asked, offsets, positions)
    rows, found = sort_best(offsets, kept.rows[positions].astype(np.int64), scores, k)
    for query in crowded:
        rows[query], found[query] = _sweep(kept, asked[query : query + 1], k, eligible)
    return ranked(rows, found)


def _multiply(asked: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return inner products: of few queries as fast as memory is read, of many by the library's matrix product."""
    if len(asked) > FEW:
        return asked @ values.T
    scores = np.empty((len(asked), len(values)), np.float32)
    most = threads() if len(values) > SMALL else 1
    in_threads(lambda part: multiply(asked, values[part], scores[:, part]), len(values), len(values), most)
    return scores


def _blocks(
    kept: Kept, eligible: NDArray[np.bool_] | None, numbers: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.bool_]]]:
    """Yield positions, values, scale and what is eligible of blocks; the last is empty where everything is."""
    if eligible is not None and np.count_nonzero(eligible) * SPARSE < len(eligible):
        chosen = np.flatnonzero(eligible)
        step = max(1024, BLOCK // max(numbers, kept.dimensions))
        for start in range(0, len(chosen), step):
            positions = chosen[start : start + step]
            yield positions, *kept.take(positions), _ALL
        return
    for start, values, scale in kept.blocks(numbers):
        part = slice(start, start + len(values))
        count = _ALL if eligible is None else eligible[part]
        yield np.arange(part.start, part.stop), values, scale, count


def _sweep(
    kept: Kept, asked: NDArray[np.float32], k: int, eligible: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Answer one query by exact scores alone, for more documents near the cut than there is room for."""
    best = Best(1, k)
    for start in range(0, len(kept.rows), BLOCK // 4):
        positions = np.arange(start, min(start + BLOCK // 4, len(kept.rows)))
        positions = positions[kept.rows[positions] >= 0] if eligible is None else positions[eligible[positions]]
        scores = kept.score(asked, np.array([0, len(positions)]), positions)
        best.add(slice(0, 1), scores[None], kept.rows[positions].astype(np.int64), _ALL)
    rows, scores = best.sorted()
    return rows[0], scores[0]

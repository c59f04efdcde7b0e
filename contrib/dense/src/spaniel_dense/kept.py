"""The vectors of an index under their rows: exact scores, and what is added and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, UsageError
from spaniel.contents import noted, open_array, require, require_distinct, require_range
from spaniel.data import DenseVectors, VectorWriter, open_vectors
from spaniel.data.vectors.folder import check_folder

from spaniel_dense.checks import BLOCK, as_rows, blocks, checked_vectors, measure, reciprocal
from spaniel_dense.files import link_vectors
from spaniel_dense.kernels import rank_pairs, score_pairs, unpack_keys
from spaniel_dense.selection import cumulated, pack
from spaniel_dense.threads import in_threads, threads

if TYPE_CHECKING:
    from spaniel.store import Artifact, Draft

_FOLDER = "vectors"
_ROWS = "rows.npy"
_LENGTHS = "lengths.npy"
SMALL = 2048
"""So many candidates, or fewer, are scored by one thread."""
_ALL = np.empty(0, bool)
_ONE = np.empty(0, np.float32)
_UNIT = 1e-5
_EPSILON = 2.0**-24
_REACH = 1e38


class Segment(NamedTuple):
    """Vectors that came together.

    Attributes:
        start: position of the first.
        values: ``(n, dimensions)`` float32, float16 or int8.
        scale: ``(n,)`` float32 that scores are multiplied by, where a cosine divides by the length; else ``None``.
    """

    start: int
    values: NDArray[Any]
    scale: NDArray[np.float32] | None


class Kept:
    """Vectors at positions 0, 1, 2 …, in the order in which they came; a row of -1 says that one was deleted.

    The score of a query and a document is their inner product in double precision, rounded to float32 once; under
    ``cosine`` queries and documents are brought to length 1 first (a vector of zeros scores 0). So it is the same
    wherever the document lies, whatever else is asked, and in every index that keeps its vectors here.

    Args:
        vectors: the first segment; its rows are 0, 1, 2 ….
        lengths: ``(n,)`` float32 lengths of the vectors, where they are not 1 and the metric is the cosine.
        rows: ``(n,)`` int32, other rows for them.
        longest: length of the longest vector; computed where it is not known.
    """

    def __init__(
        self,
        vectors: DenseVectors,
        lengths: NDArray[np.float32] | None = None,
        rows: NDArray[np.int32] | None = None,
        longest: float | None = None,
    ) -> None:
        self.metric = vectors.metric
        self.segments = [Segment(0, vectors.values, None if lengths is None else _scale(lengths))]
        self.longest = longest if longest is not None else float(measure(vectors).max(initial=0))
        self.rows = np.arange(len(vectors), dtype=np.int32) if rows is None else rows
        self.deleted = 0

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.rows) - self.deleted

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return int(self.segments[0].values.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.segments[0].values.dtype

    # Searching

    def checked(self, queries: Any) -> NDArray[np.float32]:
        """Return queries as float32, brought to length 1 under the cosine.

        Raises:
            UsageError: they are no dense vectors of as many dimensions, or not finite.
        """
        if not isinstance(queries, DenseVectors) or queries.values.shape[1] != self.dimensions:
            what = f"{queries.values.shape[1]}" if isinstance(queries, DenseVectors) else "no"
            raise UsageError(f"this index holds vectors of {self.dimensions} dimensions; the queries have {what}")
        values = np.array(queries.values, np.float32, order="C")
        if not np.isfinite(values).all():
            raise UsageError("a query vector is not finite")
        if self.metric == "cosine":
            values *= reciprocal(np.linalg.norm(values, axis=1))[:, None]
        return values

    def margins(self, asked: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far apart two scores of a matrix product may be that are equal exactly: ``(queries,)``, or infinite.

        An inner product of n numbers errs by at most about n units of rounding times the lengths (Higham, Accuracy and
        Stability of Numerical Algorithms, 2002, equation 3.5).
        """
        longest = 1 + _UNIT if self.metric == "cosine" else self.longest
        reach = np.linalg.norm(asked.astype(np.float64), axis=1) * longest
        margins = 4 * (self.dimensions + 4) * (_EPSILON * reach + float(np.finfo(np.float32).tiny))
        return np.where(reach < _REACH, margins, np.inf).astype(np.float32)

    def eligible(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Return which positions may be returned, or ``None`` where all may: those not deleted whose row is allowed.

        Raises:
            UsageError: ``allowed`` is no array of bool.
        """
        if allowed is None:
            return self.rows >= 0 if self.deleted else None
        mask = np.asarray(allowed)
        if mask.dtype != np.bool_ or mask.ndim != 1:
            raise UsageError(f"allowed is one bool a row, not {mask.dtype} of shape {mask.shape}")
        inside = (self.rows >= 0) & (self.rows < len(mask))
        found = np.zeros(len(self.rows), bool)
        found[inside] = mask[self.rows[inside]]
        return found

    def blocks(self, numbers: int) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32] | None]]:
        """Yield first position, float32 values and scale of blocks; a vector counts ``numbers`` of a block's."""
        for segment in self.segments:
            for start, values in blocks(segment.values, numbers):
                scale = None if segment.scale is None else segment.scale[start : start + len(values)]
                yield segment.start + start, values, scale

    def take(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return float32 values and scale of some positions, in their order."""
        values = np.empty((len(positions), self.dimensions), np.float32)
        scale = np.ones(len(positions), np.float32)
        for segment, at in self._by_segment(positions):
            values[at] = segment.values[positions[at] - segment.start]
            if segment.scale is not None:
                scale[at] = segment.scale[positions[at] - segment.start]
        return values, None if all(segment.scale is None for segment in self.segments) else scale

    def score(
        self, asked: NDArray[np.float32], offsets: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the scores of candidates: ``(candidates,)`` float32.

        Args:
            asked: queries, as :meth:`checked` returns them.
            offsets: ``(queries + 1,)``; the candidates of query ``q`` are ``offsets[q]:offsets[q + 1]``.
            positions: ``(candidates,)``.
        """
        scores = np.empty(len(positions), np.float32)
        if len(self.segments) == 1 and self.dtype != np.float16:
            score_pairs(asked, offsets, self.segments[0].values, positions, scores)
            if self.segments[0].scale is not None:
                scores *= self.segments[0].scale[positions]
            return scores
        step = max(1, BLOCK // self.dimensions)
        for first in range(0, len(positions), step):
            part = slice(first, min(first + step, len(positions)))
            values, scale = self.take(positions[part])
            score_pairs(asked, np.clip(offsets, first, part.stop) - first, values, _count(len(values)), scores[part])
            if scale is not None:
                scores[part] *= scale
        return scores

    def rank(
        self, asked: NDArray[np.float32], positions: NDArray[np.int64], k: int, eligible: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Return the ``k`` best of candidates under the tie rule, by exact scores.

        Args:
            asked: queries, as :meth:`checked` returns them.
            positions: ``(queries, candidates)`` int64, below 0 where there is none; none comes twice in a line.
            k: how many; at most as many as there are candidates.
            eligible: which positions count, or ``None`` for all that are not deleted.

        Returns:
            rows ``(queries, k)``, -1 where there are fewer, their scores, and how many candidates counted.

        Raises:
            ArtifactError: a position is that of no vector.
        """
        keys = np.empty(positions.shape, np.uint64)
        counts = np.zeros(len(asked), np.int64)
        wrong = -1
        mask = _ALL if eligible is None else eligible
        if len(self.segments) == 1 and self.dtype != np.float16:
            values, scale = self.segments[0].values, self.segments[0].scale
            scale = _ONE if scale is None else scale

            def work(part: slice) -> None:
                nonlocal wrong
                beyond = rank_pairs(
                    asked[part], positions[part], values, scale, self.rows, mask, keys[part], counts[part]
                )
                wrong = max(wrong, beyond)

            in_threads(work, len(asked), len(asked), threads() if positions.size > SMALL else 1)
        else:
            wrong = int(positions.max(initial=-1)) if positions.max(initial=-1) >= len(self.rows) else -1
            held = positions >= 0
            if wrong < 0:
                held[held] = (self.rows[positions[held]] >= 0) & (True if eligible is None else mask[positions[held]])
                counts = held.sum(axis=1)
                scores = self.score(asked, cumulated(counts), positions[held])
                keys = pack(held, self.rows[positions[held]], scores)
        if wrong >= 0:
            raise ArtifactError(
                Path("engine"), f"names vector {wrong} of {len(self.rows)}; remove the index, build it again"
            )
        keys.sort(axis=1)
        rows, best = np.empty((len(asked), k), np.int32), np.empty((len(asked), k), np.float32)
        unpack_keys(keys, rows, best)
        return rows, best, counts

    def _by_segment(self, positions: NDArray[np.int64]) -> Iterator[tuple[Segment, NDArray[np.int64] | slice]]:
        if len(self.segments) == 1:
            yield self.segments[0], slice(None)
            return
        starts = np.array([segment.start for segment in self.segments])
        owners = np.searchsorted(starts, positions, side="right") - 1
        for number in np.unique(owners):
            yield self.segments[number], np.flatnonzero(owners == number)

    # Changing

    def add(self, source: Any, rows: NDArray[Any]) -> DenseVectors:
        """Take in vectors under rows, and return them as they are kept.

        Raises:
            UsageError: a row is held, comes twice or is out of range, or the vectors are of another kind.
        """
        vectors = checked_vectors(source, "this index")
        kind = (vectors.metric, vectors.values.shape[1], vectors.values.dtype)
        if kind != (self.metric, self.dimensions, self.dtype):
            held = f"{self.metric} vectors of {self.dimensions} {self.dtype}"
            raise UsageError(f"this index holds {held}; those to add are {kind[0]} vectors of {kind[1]} {kind[2]}")
        given = as_rows(rows, len(vectors))
        taken = np.intersect1d(given, self.rows[self.rows >= 0])
        if len(taken):
            raise UsageError(f"row {taken[0]} is held already; delete it first, or give another")
        lengths = measure(vectors)
        own = DenseVectors(np.array(vectors.values, order="C"), self.metric)
        self.segments.append(
            Segment(len(self.rows), own.values, _scale(lengths) if _has_others(self.metric, lengths) else None)
        )
        self.rows = np.concatenate([self.rows, given])
        self.longest = max(self.longest, float(lengths.max(initial=0)))
        return own

    def delete(self, rows: NDArray[Any]) -> None:
        """Let documents go.

        Raises:
            UsageError: a row is not held, or comes twice.
        """
        given = as_rows(rows, len(rows))
        order = np.argsort(self.rows, kind="stable")
        found = np.searchsorted(self.rows, given, sorter=order)
        positions = order[np.minimum(found, len(order) - 1)] if len(order) else found
        held = self.rows[positions] == given if len(order) else np.zeros(len(given), bool)
        if not held.all():
            raise UsageError(f"row {given[~held][0]} is not held")
        # Not in place: a file's rows are mapped, and cannot be written to.
        self.rows = self.rows.copy()
        self.rows[positions] = -1
        self.deleted += len(given)

    # On disk

    def save(self, draft: Draft) -> None:
        """Write the vectors that are left, in the order in which they came."""
        held = self.rows >= 0
        rows, lengths, step = self.rows[held], [np.empty(0, np.float32)], max(1024, BLOCK // self.dimensions)
        with VectorWriter(draft.file(_FOLDER), len(rows)) as writer:
            at = 0
            for segment in self.segments:
                stay = np.flatnonzero(held[segment.start : segment.start + len(segment.values)])
                for start in range(0, len(stay), step):
                    values = np.ascontiguousarray(segment.values[stay[start : start + step]])
                    vectors = DenseVectors(values, self.metric)
                    lengths.append(measure(vectors))
                    if writer.next_row == at:  # what an earlier attempt wrote is there already
                        writer.append(vectors)
                    at += len(vectors)
            if writer.is_empty:
                writer.append(DenseVectors(np.empty((0, self.dimensions), self.dtype), self.metric))
        _note(draft, self.metric, self.dimensions, np.concatenate(lengths))
        if not np.array_equal(rows, np.arange(len(rows))):
            np.save(draft.file(_ROWS), rows, allow_pickle=False)


def keep(source: Any, draft: Draft, name: str) -> None:
    """Write vectors for :func:`open_kept`, hard-linked where they lie in a file of their own.

    Args:
        source: dense vectors under ``cosine`` or ``dot``.
        draft: where they go.
        name: who keeps them, for messages.

    Raises:
        UsageError: the source is something else, or a vector is not finite.
    """
    vectors = checked_vectors(source, name)
    lengths = measure(vectors, draft)
    link_vectors(vectors, draft.file(_FOLDER))
    _note(draft, vectors.metric, vectors.values.shape[1], lengths)


def open_kept(artifact: Artifact) -> Kept:
    """Open kept vectors, memory-mapped.

    Raises:
        ArtifactError: they are damaged.
    """
    vectors = open_vectors(artifact.path / _FOLDER)
    if not isinstance(vectors, DenseVectors):
        raise ArtifactError(artifact.path, "holds no dense vectors; remove it and build it again")
    lengths, rows = (
        open_array(artifact.path / name, dtype, [len(vectors)]) if name in artifact.files else None
        for name, dtype in ((_LENGTHS, np.float32), (_ROWS, np.int32))
    )
    return Kept(vectors, lengths, rows, artifact.info.get("longest"))


def check_kept(artifact: Artifact) -> Kept:
    """Open kept vectors that come from elsewhere, and look through all of their numbers.

    Raises:
        ArtifactError: they are not finite, not as many or as long as is noted, or a row is out of range or comes twice.
    """
    manifest = artifact.path / "manifest.json"
    check_folder(artifact.path / _FOLDER)
    kept, where = open_kept(artifact), artifact.path / _FOLDER / "values.npy"
    vectors = DenseVectors(kept.segments[0].values, kept.metric)
    try:
        lengths = measure(checked_vectors(vectors, "this index"))
    except UsageError as error:
        raise ArtifactError(where, f"{error}; remove the artifact and build it again") from error
    noted(artifact, "documents", len(vectors), len(vectors))
    noted(artifact, "dimensions", kept.dimensions, kept.dimensions)
    require(artifact.info.get("metric") == kept.metric, manifest, "notes another metric than that of the vectors")
    longest, found = artifact.info.get("longest"), float(lengths.max(initial=0))
    fits = isinstance(longest, int | float) and abs(longest - found) <= _UNIT * found
    require(fits, manifest, f"notes {str(longest)[:40]} as the length of the longest vector, which is {found}")
    has_lengths = _LENGTHS in artifact.files
    require(
        has_lengths == _has_others(kept.metric, lengths), manifest, "has lengths of vectors that need none, or none"
    )
    if has_lengths:
        told = open_array(artifact.path / _LENGTHS, np.float32, [len(vectors)])
        fits = bool((abs(told - lengths) <= _UNIT * lengths).all())
        require(fits, artifact.path / _LENGTHS, "holds other lengths than those of the vectors")
    if _ROWS in artifact.files:
        require_range(kept.rows, 0, 2**31 - 1, artifact.path / _ROWS)
        require_distinct(kept.rows, artifact.path / _ROWS)
    return kept


def kept_in(draft: Draft) -> Kept:
    """Open what :func:`keep` or :meth:`Kept.save` has just written, under the rows 0, 1, 2 …."""
    vectors = open_vectors(draft.path / _FOLDER)
    assert isinstance(vectors, DenseVectors)  # as it was written
    lengths = draft.path / _LENGTHS
    return Kept(vectors, np.load(lengths) if lengths.exists() else None, longest=draft.info["longest"])


def _has_others(metric: str, lengths: NDArray[np.float32]) -> bool:
    """Whether a cosine has to divide by some of the lengths."""
    return metric == "cosine" and bool((abs(lengths - 1) > _UNIT).any())


def _scale(lengths: NDArray[np.float32]) -> NDArray[np.float32]:
    # Those of length 1 are left alone, so that a vector's score does not depend on what lies beside it.
    return np.where(abs(lengths - 1) > _UNIT, reciprocal(lengths), np.float32(1))


def _note(draft: Draft, metric: str, dimensions: int, lengths: NDArray[np.float32]) -> None:
    if _has_others(metric, lengths):
        np.save(draft.file(_LENGTHS), lengths, allow_pickle=False)
    longest = float(lengths.max(initial=0))
    draft.info.update(documents=len(lengths), dimensions=dimensions, metric=metric, longest=longest)


def _count(n: int) -> NDArray[np.int64]:
    return np.arange(n, dtype=np.int64)

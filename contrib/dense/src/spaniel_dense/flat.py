"""Exact search over dense vectors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Run, UsageError
from spaniel.data import DenseVectors, open_vectors, save_vectors

from spaniel_dense.selection import Best

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

QUERIES = 256
"""Queries compared at once."""
BLOCK = 2**22
"""Numbers in a block of documents, and in a block of scores: 16 MiB each."""
_FOLDER = "vectors"
_UNIT = 1e-5


class FlatIndexer:
    """Keeps the vectors as they are, and their lengths where a cosine has to divide by them.

    Vectors that lie in a file of their own, as encoded corpora do, are hard-linked into the index, so that they take no
    room twice; where the file system has no hard links they are copied.
    """

    can_add = False
    can_delete = False

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
        if not isinstance(source, DenseVectors):
            raise UsageError(f"flat indexes dense vectors, not {getattr(source, 'form', type(source).__name__)}")
        if source.metric not in ("cosine", "dot"):
            raise UsageError(f"flat compares dense vectors by cosine or dot, not by {source.metric}")
        advance = draft.progress(len(source), "vectors")
        lengths = np.empty(len(source), np.float32)
        for start, block in blocks(source.values, source.values.shape[1]):
            lengths[start : start + len(block)] = np.linalg.norm(block, axis=1)
            advance(len(block))
        if not np.isfinite(lengths).all():
            row = int(np.flatnonzero(~np.isfinite(lengths))[0])
            raise UsageError(f"the vector of row {row} is not finite")
        if source.metric == "cosine" and (abs(lengths - 1) > _UNIT).any():
            np.save(draft.file("lengths.npy"), lengths, allow_pickle=False)
        _keep(source, draft.file(_FOLDER))
        draft.info.update(documents=len(source), dimensions=source.values.shape[1], metric=source.metric)

    def open(self, artifact: Artifact) -> FlatIndex:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged.
        """
        vectors = open_vectors(artifact.path / _FOLDER)
        if not isinstance(vectors, DenseVectors):
            raise ArtifactError(artifact.path, "holds no dense vectors; remove it and build it again")
        if "lengths.npy" not in artifact.files:
            return FlatIndex(vectors)
        where = artifact.file("lengths.npy")
        try:
            lengths = np.load(where, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ArtifactError(where, f"is damaged ({error}); remove the index and build it again") from error
        if lengths.shape != (len(vectors),):
            raise ArtifactError(where, f"holds {lengths.shape} lengths for {len(vectors)} vectors; build it again")
        return FlatIndex(vectors, lengths)


@dataclass(frozen=True, eq=False)
class FlatIndex:
    """Compares every query with every vector, block by block.

    Attributes:
        vectors: of the documents, ``(n, dimensions)``.
        lengths: ``(n,)`` float32, where scores are to be divided by them; a vector of zeros scores 0.
    """

    vectors: DenseVectors
    lengths: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Any, k: int) -> Run:
        """Return the ``k`` best rows of each query, exactly under the tie rule.

        Memory is a few blocks, and eight bytes for each query and row that is returned.

        Raises:
            UsageError: the queries are no dense vectors of as many dimensions.
        """
        asked = self._checked(queries)
        k = min(k, len(self))
        if not len(asked) or k < 1:
            return Run.empty(len(asked))
        best = Best(len(asked), k)
        # A block that is converted is a copy, others are read where they lie.
        copied = 0 if self.vectors.values.dtype == np.float32 else asked.shape[1]
        for start, block in blocks(self.vectors.values, max(min(len(asked), QUERIES), copied)):
            scale = None if self.lengths is None else _reciprocal(self.lengths[start : start + len(block)])
            for first in range(0, len(asked), QUERIES):
                part = slice(first, first + QUERIES)
                scores = asked[part] @ block.T
                if scale is not None:
                    scores *= scale
                best.add(part, scores, start)
        return Run.from_matrix(*best.sorted())

    def _checked(self, queries: Any) -> NDArray[np.float32]:
        width = self.vectors.values.shape[1]
        if not isinstance(queries, DenseVectors) or queries.values.shape[1] != width:
            what = f"{queries.values.shape[1]}" if isinstance(queries, DenseVectors) else "no"
            raise UsageError(f"this index holds vectors of {width} dimensions; the queries have {what}")
        values = queries.values.astype(np.float32)
        if not np.isfinite(values).all():
            raise UsageError("a query vector is not finite")
        if self.vectors.metric == "cosine":
            values *= _reciprocal(np.linalg.norm(values, axis=1))[:, None]
        return values


def similarity(queries: DenseVectors, documents: DenseVectors) -> NDArray[np.float32]:
    """Return the scores of every query with every document by the documents' metric, ``(queries, documents)``."""
    scores = queries.dot(documents)
    if documents.metric == "cosine":
        for vectors, shape in ((queries, (-1, 1)), (documents, (1, -1))):
            scores *= _reciprocal(np.linalg.norm(vectors.values.astype(np.float32), axis=1)).reshape(shape)
    return scores


def blocks(values: NDArray[Any], numbers: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row and the float32 values of blocks of rows; a row counts ``numbers`` of a block's."""
    rows = max(1024, BLOCK // max(numbers, 1))
    for start in range(0, len(values), rows):
        yield start, np.asarray(values[start : start + rows], np.float32)


def _reciprocal(lengths: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.divide(np.float32(1), lengths, out=np.zeros_like(lengths), where=lengths > 0)


def _keep(source: DenseVectors, folder: Path) -> None:
    file = _own_file(source.values)
    if file is None:
        save_vectors(source, folder)
        return
    folder.mkdir(exist_ok=True)
    for path in sorted(file.parent.iterdir()):
        target = folder / path.name
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)


def _own_file(values: NDArray[Any]) -> Path | None:
    """Return the file that holds these values and nothing else, where there is one."""
    if not isinstance(values, np.memmap) or values.filename is None or not values.flags.c_contiguous:
        return None
    path = Path(values.filename)
    whole = path.name == "values.npy" and path.stat().st_size == values.offset + values.nbytes
    return path if whole else None

"""Exact search over dense vectors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, PluginError, Run, UsageError
from spaniel.data import DenseVectors, Vectors, open_vectors
from spaniel.data.run import concatenate
from spaniel.data.vectors import save_vectors
from spaniel.store import Artifact, Draft

from spaniel_dense.config import Flat
from spaniel_dense.select import merge, topk

if TYPE_CHECKING:
    from spaniel import Context

QUERIES = 1024
DOCUMENTS = 32_768
"""Scores held at once: 1,024 queries times 32,768 documents of 32 bits, 128 MiB."""
_FOLDER = "vectors"


class FlatIndexer:
    """Keeps the vectors as they are; files are shared with the encoded corpus where the file system can link them."""

    can_add = False
    can_delete = False

    def __init__(self, config: Flat, context: Context) -> None:
        self.config = config
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing beyond the options."""
        return {}

    def build(self, source: Any, draft: Draft) -> None:
        """Link or copy the vectors."""
        if not isinstance(source, DenseVectors):
            raise PluginError("spaniel-dense", f"flat indexes dense vectors, not {type(source).__name__}")
        folder = draft.file(_FOLDER)
        shutil.rmtree(folder, ignore_errors=True)
        values, origin = source.values, getattr(source.values, "filename", None)
        if isinstance(values, np.memmap) and origin and len(values) == len(np.load(origin, mmap_mode="r")):
            folder.mkdir()
            for file in sorted(Path(origin).parent.iterdir()):
                _link(file, folder / file.name)
        else:
            save_vectors(source, folder)
        draft.info.update(documents=len(source), dimensions=int(values.shape[1]))

    def open(self, artifact: Artifact) -> FlatIndex:
        """Open the vectors, memory-mapped."""
        vectors = open_vectors(artifact.path / _FOLDER)
        if not isinstance(vectors, DenseVectors):
            raise ArtifactError(artifact.path, "holds no dense vectors; remove it and build it again")
        return FlatIndex(vectors)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class FlatIndex:
    """Every query with every document, block by block; memory does not grow with the collection."""

    def __init__(self, vectors: DenseVectors) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Sequence[str] | Vectors, k: int) -> Run:
        """Return the ``k`` documents with the highest inner products (cosines, where vectors have length 1).

        Raises:
            UsageError: the queries are no dense vectors of the same dimensions.
        """
        if not isinstance(queries, DenseVectors) or queries.values.shape[1] != self.vectors.values.shape[1]:
            shape = queries.values.shape[1:] if isinstance(queries, DenseVectors) else type(queries).__name__
            raise UsageError(f"expected dense vectors of {self.vectors.values.shape[1]} dimensions, not {shape}")
        if not len(self):
            return Run.empty(len(queries))
        parts = range(0, len(queries), QUERIES)
        return concatenate([self._search(queries.values[start : start + QUERIES], k) for start in parts])

    def _search(self, queries: NDArray[Any], k: int) -> Run:
        import torch

        asked = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32))
        best: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None
        for start in range(0, len(self), DOCUMENTS):
            block = np.array(self.vectors.values[start : start + DOCUMENTS], dtype=np.float32)
            columns, values = topk(asked @ torch.from_numpy(block).T, k)
            found = (columns + np.int32(start), values)
            best = found if best is None else merge(best, found, k)
        assert best is not None  # the index is not empty
        return Run.from_matrix(*best)


"""The index of a CUR decomposition: documents' scores with anchor queries, and anchor documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError
from spaniel.contents import noted, open_array, require, require_distinct
from spaniel_dense.flat import FlatIndex, FlatIndexer
from spaniel_dense.kept import Kept, check_kept, keep, kept_in, open_kept

from spaniel_anncur.anchors import choose_anchors

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

    from spaniel_anncur.config import CurIndexConfig

_ANCHORS = "anchors.npy"


class CurIndexer(FlatIndexer):
    """Keeps vectors as :class:`spaniel_dense.flat.FlatIndexer` does, and which documents are anchors.

    The vectors are columns of the matrix R (Yadav et al., EMNLP 2022, §2.2). A query's vector, fitted to its scores with
    the anchors, has with each document the inner product that estimates their score.
    """

    is_random = True

    def __init__(self, config: CurIndexConfig, context: Context) -> None:
        super().__init__(None, context)
        self.config = config

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of dense vectors.

        Raises:
            UsageError: the source is something else, or a vector is not finite.
        """
        keep(source, draft, "cur")
        kept = kept_in(draft)
        seed = self.context.seed_for("anncur", "anchors")
        chosen = choose_anchors(kept.segments[0].values, self.config.anchors, self.config.selection, seed)
        np.save(draft.file(_ANCHORS), kept.rows[chosen], allow_pickle=False)
        draft.info["anchors"] = len(chosen)

    def check(self, artifact: Artifact) -> None:
        """Look through vectors and anchors, which are rows of theirs.

        Raises:
            ArtifactError: a number is out of bounds.
        """
        kept, where = check_kept(artifact), artifact.file(_ANCHORS)
        anchors = open_array(where, np.int32, [noted(artifact, "anchors")])
        require_distinct(anchors, where)
        require(bool(np.isin(anchors, kept.rows).all()), where, "holds an anchor that is no row")

    def open(self, artifact: Artifact) -> CurIndex:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged.
        """
        count = artifact.info.get("anchors")
        if not isinstance(count, int):
            raise ArtifactError(artifact.path, "holds no anchors; remove it and build it again")
        return CurIndex(open_kept(artifact), open_array(artifact.file(_ANCHORS), np.int32, [count]))


class CurIndex(FlatIndex):
    """Vectors and anchors.

    Args:
        kept: the vectors.
        anchors: ``(anchors,)`` int32, rows; those that are deleted are anchors no more.
    """

    def __init__(self, kept: Kept, anchors: NDArray[np.int32]) -> None:
        super().__init__(kept)
        self.anchors = anchors

    def matrix(self) -> tuple[NDArray[np.floating], NDArray[np.int32]]:
        """Return the vectors, ``(n, dimensions)``, and their rows, ``(n,)``."""
        kept = self.kept
        held = np.flatnonzero(kept.rows >= 0)
        if len(kept.segments) == 1 and len(held) == len(kept.rows):
            return kept.segments[0].values, kept.rows
        return np.concatenate([segment.values for segment in kept.segments])[held], kept.rows[held]

    def delete(self, rows: NDArray[Any]) -> None:
        """Let documents go."""
        super().delete(rows)
        self.anchors = self.anchors[~np.isin(self.anchors, rows)]

    def save(self, draft: Draft) -> None:
        """Write what is left."""
        super().save(draft)
        np.save(draft.file(_ANCHORS), self.anchors, allow_pickle=False)
        draft.info["anchors"] = len(self.anchors)

"""Seismic: approximate search over clustered postings (Bruch, Nardini, Rulli and Venturini, SIGIR 2024).

The engine finds documents; their scores are computed again, exactly, from the vectors, which the index keeps.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import ArtifactError, Run, UsageError
from spaniel.contents import noted
from spaniel.data import SparseVectors, open_vectors, save_vectors
from spaniel_impacts.rescoring import score_rows

from spaniel_sparse.config import SeismicConfig
from spaniel_sparse.impact import check_metric

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

ROWS = 100_000
"""Documents handed to the engine at once."""
NARROW = 2**16
"""Terms that the engine's ordinary index can number."""
_ENDING = ".index.seismic"
_FOLDER = "vectors"


class SeismicIndexer:
    """Approximate: what it finds is most of the best, and depends on ``query_cut`` and ``heap_factor``."""

    can_add = False
    can_delete = False
    can_filter = False
    recall = 0.8

    def __init__(self, config: SeismicConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """The engine's version."""
        try:
            return {"pyseismic-lsr": version("pyseismic-lsr")}
        except PackageNotFoundError:
            raise _missing() from None

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of sparse vectors.

        Raises:
            UsageError: the source is something else, a weight is negative or not finite, or the engine is missing.
        """
        if not isinstance(source, SparseVectors):
            raise UsageError(f"seismic indexes sparse vectors, not {getattr(source, 'form', type(source).__name__)}")
        check_metric(source, "seismic")
        if len(source.values) and not (source.values.min() >= 0 and np.isfinite(source.values.max())):
            raise UsageError("seismic indexes weights of 0 or more that are finite")
        if not draft.done(_FOLDER):
            save_vectors(source, draft.file(_FOLDER))
            draft.finish(_FOLDER)
        # The engine builds in memory, and has nothing to show before its end.
        documents = self._fill(source, draft)
        draft.info.update(documents=len(source), terms=source.width, clustered=documents)

    def _fill(self, source: SparseVectors, draft: Draft) -> int:
        dataset_type, index_type = _engine(source.width)
        dataset, documents = dataset_type(), 0
        advance = draft.progress(len(source), "vectors")
        for start in range(0, len(source), ROWS):
            part = source[start : start + ROWS]
            order = np.lexsort((part.indices, np.repeat(np.arange(len(part)), np.diff(part.indptr))))
            documents += dataset.add_documents_by_id(
                [str(row) for row in range(start, start + len(part))],
                part.indices[order].astype(np.int64),
                part.values[order],
                np.asarray(part.indptr, np.int64),
            )
            advance(len(part))
        if documents:
            c = self.config
            with _silence():
                index = index_type.build_from_dataset(
                    dataset,
                    n_postings=c.n_postings,
                    centroid_fraction=c.centroid_fraction,
                    min_cluster_size=c.min_cluster_size,
                    summary_energy=c.summary_energy,
                )
                index.save(str(draft.file("seismic")))
        return documents

    def check(self, artifact: Artifact) -> None:
        """Refuse it: the engine trusts each number of its own file, and has no way to look through them.

        Raises:
            ArtifactError: always.
        """
        raise ArtifactError(
            artifact.path / f"seismic{_ENDING}",
            "was not built in this store, and its engine reads it without a check: build it here from the vectors, which "
            "can be imported, or import it with --trust if you know who made it",
        )

    def open(self, artifact: Artifact) -> SeismicIndex:
        """Open an index; the engine reads its part into memory.

        Raises:
            ArtifactError: it is damaged, or none.
        """
        vectors = open_vectors(artifact.path / _FOLDER)
        documents = noted(artifact, "documents")
        if not isinstance(vectors, SparseVectors) or len(vectors) != documents:
            raise ArtifactError(artifact.path / _FOLDER, f"holds no {documents} sparse vectors; build the index again")
        if not noted(artifact, "clustered"):
            return SeismicIndex(vectors, None, self.config)
        _, index_type = _engine(vectors.width)
        where = artifact.file(f"seismic{_ENDING}")
        try:
            engine = index_type.load(str(where))
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # whatever the engine makes of damaged bytes; its panics are no `Exception`
            raise ArtifactError(where, f"cannot be read ({error}); remove the index and build it again") from error
        return SeismicIndex(vectors, engine, self.config)


@dataclass(frozen=True, eq=False)
class SeismicIndex:
    """The engine's index and the vectors that it was made of."""

    vectors: SparseVectors
    engine: Any
    config: SeismicConfig

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Any, k: int) -> Run:
        """Return ``k`` rows of each query that are likely to be the best, with their exact scores.

        Raises:
            UsageError: the queries are no sparse vectors over the index's terms, or a weight is negative.
        """
        if not isinstance(queries, SparseVectors) or queries.width != self.vectors.width:
            raise UsageError(f"seismic compares sparse vectors over {self.vectors.width} terms")
        if len(queries.values) and not (queries.values.min() >= 0 and np.isfinite(queries.values.max())):
            raise UsageError("a query has a weight that is negative or not finite; weights of terms are 0 or more")
        width = min(k, len(self))
        asked = np.flatnonzero(np.diff(queries.indptr))
        if self.engine is None or not width or not len(asked):
            return Run.empty(len(queries))
        from seismic import get_seismic_string

        token = get_seismic_string()
        bounds = [(queries.indptr[query], queries.indptr[query + 1]) for query in asked]
        found = self.engine.batch_search(
            np.array([str(query) for query in asked], dtype=token),
            [queries.indices[begin:end].astype(token) for begin, end in bounds],
            [np.asarray(queries.values[begin:end]) for begin, end in bounds],
            k=width,
            query_cut=self.config.query_cut,
            heap_factor=self.config.heap_factor,
        )
        lengths = np.zeros(len(queries), np.int64)
        rows: dict[int, list[int]] = {int(hits[0][0]): [int(hit[2]) for hit in hits] for hits in found if hits}
        for query, held in rows.items():
            lengths[query] = len(held)
        flat = np.array([row for query in sorted(rows) for row in rows[query]], np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Run.build(offsets, flat, score_rows(queries, self.vectors, offsets, flat))


@contextmanager
def _silence() -> Iterator[None]:
    """Keep away what the engine prints while it builds, past Python, where a program may be writing JSON."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _engine(width: int) -> tuple[Any, Any]:
    """Return the engine's classes for a vocabulary of so many terms."""
    try:
        import seismic
    except ImportError:
        raise _missing() from None
    if width <= NARROW:
        return seismic.SeismicDataset, seismic.SeismicIndex
    return seismic.SeismicDatasetLV, seismic.SeismicIndexLV


def _missing() -> UsageError:
    return UsageError('the index `seismic` needs its engine: pip install "spaniel-sparse[seismic]"')

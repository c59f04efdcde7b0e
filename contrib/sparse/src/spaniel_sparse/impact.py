"""The exact index: weights of terms as postings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Run, UsageError
from spaniel.contents import noted
from spaniel.data import SparseVectors
from spaniel_impacts.building import write_vectors
from spaniel_impacts.postings import Postings, Search, choose
from spaniel_impacts.queries import arrange

from spaniel_sparse.config import ImpactConfig

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.store import Artifact, Draft

EXPECTED = 1000
"""Queries for which an index is opened: where they are much work, the compiled search is loaded then."""


class ImpactIndexer:
    """Turns sparse vectors into postings by term; exact for the weights as they are stored."""

    can_add = False
    can_delete = False
    can_filter = True

    def __init__(self, config: ImpactConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.recall = 1.0 if config.precision == "float32" else 0.9

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing beyond the options."""
        return {}

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of sparse vectors.

        Raises:
            UsageError: the source is something else, or a weight is negative or not finite.
        """
        if not isinstance(source, SparseVectors):
            raise UsageError(f"impact indexes sparse vectors, not {getattr(source, 'form', type(source).__name__)}")
        check_metric(source, "impact")
        write_vectors(source, draft, self.config.precision)
        draft.info["documents"] = len(source)

    def check(self, artifact: Artifact) -> None:
        """Look once through all numbers; see :meth:`spaniel.protocols.Indexer.check`.

        Raises:
            ArtifactError: something is out of bounds.
        """
        from spaniel_impacts.checking import check_postings  # compiled: loaded where it is needed

        arrays = {"indptr", "indices", "data", "bounds"} | ({"steps"} if self.config.precision == "uint8" else set())
        check_postings(artifact, noted(artifact, "documents"), arrays)

    def open(self, artifact: Artifact) -> ImpactIndex:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged, or none.
        """
        index = ImpactIndex(Postings.open(artifact, noted(artifact, "documents")), self.config.method)
        index.postings.load(self.context, EXPECTED)
        return index


@dataclass(frozen=True, eq=False)
class ImpactIndex:
    """Postings, searched exactly.

    Attributes:
        postings: the documents of each term, with weights.
        method: ``"auto"``, ``"sweep"`` or ``"maxscore"``; what is found is the same.
    """

    postings: Postings
    method: str = "auto"

    def __len__(self) -> int:
        return len(self.postings)

    def search(self, queries: Any, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best rows of each query that share a term with it, exactly under the tie rule.

        Scores are sums, in float32, of weight in the query times (stored) weight in the document.

        Raises:
            UsageError: the queries are no sparse vectors over the index's terms, or a weight is negative.
        """
        if not isinstance(queries, SparseVectors):
            raise UsageError(f"impact compares sparse vectors, not {getattr(queries, 'form', type(queries).__name__)}")
        asked = arrange(queries, self.postings)
        return self.postings.search(
            asked.offsets,
            asked.terms,
            k,
            weights=asked.weights,
            allowed=allowed,
            method=self.chosen(asked.terms, len(queries), k),
        )

    def chosen(self, terms: NDArray[np.int32], queries: int, k: int) -> Search:
        """Return how ``k`` documents are searched for, by so many queries of these terms."""
        if self.method != "auto":
            return "maxscore" if self.method == "maxscore" else "sweep"
        return choose(self.postings, terms, queries, k)

    def weights(self, terms: NDArray[np.int32], row: int) -> NDArray[np.float64]:
        """Return the weights of terms in a document, as stored: ``(len(terms),)``, 0 where it lacks one."""
        return np.fromiter((self.postings.impact(int(term), row) for term in terms), np.float64, len(terms))


def check_metric(vectors: SparseVectors, name: str) -> None:
    """Refuse vectors that are not compared by the inner product.

    Raises:
        UsageError: they are not.
    """
    if vectors.metric != "dot":
        raise UsageError(f"{name} compares sparse vectors by their inner product, not by {vectors.metric}")

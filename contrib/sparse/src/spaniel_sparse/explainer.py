"""What each term adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Explanation, PluginError, Queries
from spaniel.data import SparseVectors
from spaniel.encoding import encode_queries, open_named

from spaniel_sparse.retriever import SparseRetriever

if TYPE_CHECKING:
    from spaniel import Context


class SparseTerms:
    """Exact: a score is the sum, over terms, of weight in the query times weight in the document.

    An index that stores other weights than it was given (8-bit ones) says which by a method ``weights(terms, row)``.
    """

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(
        self, target: SparseRetriever, query: str, rows: Sequence[int], corpus: Corpus
    ) -> Sequence[Explanation]:
        """Explain the scores of documents for a query."""
        if not len(rows):
            return []
        stage = target.config.encoder
        asked = encode_queries(self.context, stage, Queries.from_lists(["query"], [query]))["sparse"]
        vectors = open_named(self.context, self.context.obtain(target.vectors(corpus.need)), "sparse")
        if not (isinstance(asked, SparseVectors) and isinstance(vectors, SparseVectors)):
            raise PluginError("spaniel-sparse", f"`{stage}` gives {vectors.form} vectors under the name sparse")
        names = self._names(stage, asked.indices)
        stored = getattr(target.index(corpus), "weights", None)
        made = []
        for row, document in zip(rows, corpus.ids(rows), strict=True):
            held = _weights(vectors[row : row + 1], asked.indices) if stored is None else stored(asked.indices, row)
            parts = tuple(
                Contribution(
                    names[at], float(asked.values[at] * held[at]), note=f"{asked.values[at]:.3f} × {held[at]:.3f}"
                )
                for at in np.flatnonzero(held)
            )
            total = float(sum(part.score for part in parts))
            made.append(Explanation("sparse", "sparse-terms", query, document, total, parts))
        return made

    def _names(self, encoder: object, terms: NDArray[np.int32]) -> list[str]:
        """Return what terms are called, where the encoder can tell by a method ``names(terms)``."""
        names = getattr(self.context.create("encode", encoder), "names", None)  # type: ignore[arg-type]
        return list(names(terms)) if names is not None else [f"term {term}" for term in terms]


def _weights(vector: SparseVectors, terms: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the weights of terms in one vector, 0 where it lacks one."""
    whole = np.zeros(vector.width, np.float64)
    whole[vector.indices] = vector.values
    return whole[terms]

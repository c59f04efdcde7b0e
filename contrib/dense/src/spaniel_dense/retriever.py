"""Dense retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Corpus, Queries, Run
from spaniel.encoding import encode_queries, vectors_need
from spaniel.indexing import index_need, open_index
from spaniel.store import Need

from spaniel_dense.config import Dense

if TYPE_CHECKING:
    from spaniel import Context

NAME = "dense"


class DenseRetriever:
    """Encodes queries and searches the index of the encoded corpus; an empty query gets an empty list."""

    def __init__(self, config: Dense, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The encoded corpus, and the index of it."""
        vectors = vectors_need(self.context, self.config.encoder, corpus)
        return [index_need(self.context, self.config.index, vectors, NAME)]

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query."""
        vectors = vectors_need(self.context, self.config.encoder, corpus.need)
        index = open_index(self.context, self.config.index, vectors, NAME)
        encoded = encode_queries(self.context, self.config.encoder, queries)[NAME]
        found = index.search(encoded, self.config.k)
        self.context.advance(len(queries))
        empty = [position for position, text in enumerate(queries.texts) if not text.strip()]
        return _without(found, empty) if empty else found


def _without(run: Run, queries: list[int]) -> Run:
    lengths = run.lengths
    lengths[queries] = 0
    keep = ~np.isin(run.owners, queries)
    return Run.build(np.concatenate([[0], np.cumsum(lengths)]), run.rows[keep], run.scores[keep])

"""Dense retrieval: by one vector a text, and by several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Corpus, Queries, Run
from spaniel.encoding import encode_queries, vectors_need
from spaniel.indexing import allowed_rows, check_filter, index_need, open_index
from spaniel.store import Need

from spaniel_dense.config import DenseConfig, MultiVectorConfig

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Index


class DenseRetriever:
    """Searches the index of the documents' vectors; a query without a word gets an empty list."""

    form = "dense"
    """Which of the encoder's representations is searched."""

    def __init__(self, config: DenseConfig | MultiVectorConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index, which needs the vectors."""
        check_filter(self.context, self.config.index, self.config.filter)
        return [index_need(self.context, self.config.index, self._vectors(corpus), self.form)]

    def index(self, corpus: Corpus) -> Index:
        """Return the opened index of a corpus."""
        return open_index(self.context, self.config.index, self._vectors(corpus.need), self.form)

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query, among those that pass the filter."""
        index = self.index(corpus)
        asked = [position for position, text in enumerate(queries.texts) if text.strip()]
        if not asked:
            return Run.empty(len(queries))
        chosen = queries if len(asked) == len(queries) else queries.select(asked)
        vectors = encode_queries(self.context, self.config.encoder, chosen)[self.form]
        allowed = allowed_rows(self.context, corpus, self.config.filter)
        found = index.search(vectors, self.config.k, **({} if allowed is None else {"allowed": allowed}))
        self.context.advance(len(queries))
        if chosen is queries:
            return found
        lengths = np.zeros(len(queries), np.int64)
        lengths[asked] = found.lengths
        return Run.build(np.concatenate([[0], np.cumsum(lengths)]), found.rows, found.scores)

    def _vectors(self, corpus: Need) -> Need:
        return vectors_need(self.context, self.config.encoder, corpus)


class MultiVectorRetriever(DenseRetriever):
    """Searches the index of the documents' multi-vectors."""

    form = "multi-vector"

"""Retrieval by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from spaniel import Corpus, Queries, Run, Stage
from spaniel.indexing import allowed_rows, index_need, open_index
from spaniel.store import Need

from spaniel_bm25.config import Bm25
from spaniel_bm25.searching import Index

if TYPE_CHECKING:
    from spaniel import Context


class Bm25Retriever:
    """Searches the index of its options; an empty query, or one without a known term, gets an empty list."""

    def __init__(self, config: Bm25, context: Context) -> None:
        self.config = config
        self.context = context
        self._indexer = Stage("spaniel-bm25/bm25", **config.index().model_dump(mode="python"))

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index."""
        return [index_need(self.context, self._indexer, corpus)]

    def index(self, corpus: Corpus) -> Index:
        """Return the opened index of a corpus."""
        return cast(Index, open_index(self.context, self._indexer, corpus.need))

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query, among those that pass the filter."""
        allowed = allowed_rows(self.context, corpus, self.config.filter)
        found = self.index(corpus).search(queries.texts, self.config.k, allowed)
        self.context.advance(len(queries))
        return found

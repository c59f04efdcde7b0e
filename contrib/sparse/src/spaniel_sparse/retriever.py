"""Learned sparse retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Corpus, Queries, Run
from spaniel.encoding import encode_queries, vectors_need
from spaniel.indexing import allowed_rows, check_filter, index_need, open_index
from spaniel.store import Need

from spaniel_sparse.config import SparseConfig

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Index


class SparseRetriever:
    """Searches the index of the documents' weights; a query without a term gets an empty list."""

    def __init__(self, config: SparseConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index, which needs the vectors."""
        check_filter(self.context, self.config.index, self.config.filter)
        return [index_need(self.context, self.config.index, self.vectors(corpus), "sparse")]

    def vectors(self, corpus: Need) -> Need:
        """Name the vectors of a corpus."""
        return vectors_need(self.context, self.config.encoder, corpus)

    def index(self, corpus: Corpus) -> Index:
        """Return the opened index of a corpus."""
        return open_index(self.context, self.config.index, self.vectors(corpus.need), "sparse")

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query, among those that pass the filter."""
        index = self.index(corpus)
        asked = encode_queries(self.context, self.config.encoder, queries)["sparse"]
        allowed = allowed_rows(self.context, corpus, self.config.filter)
        found = index.search(asked, self.config.k, **({} if allowed is None else {"allowed": allowed}))
        self.context.advance(len(queries))
        return found

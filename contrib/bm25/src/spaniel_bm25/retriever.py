"""Retrieval by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, Stage
from spaniel.indexing import allowed_rows, index_need, open_index
from spaniel.store import Need

from spaniel_bm25.config import Bm25
from spaniel_bm25.rows import score_texts
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
        index = self.index(corpus)
        index.postings.load(self.context, len(queries))
        found = index.search(queries.texts, self.config.k, allowed)
        self.context.advance(len(queries))
        return found

    def score_rows(
        self, queries: Queries, rows: Sequence[int], corpus: Corpus, run: Run | None = None
    ) -> NDArray[np.float64]:
        """Score every query with every document: ``(queries, rows)``, whatever ``k`` and the filter are."""
        return score_texts(self.index(corpus), queries.texts, rows)

    def parts(
        self, query: str, rows: Sequence[int], corpus: Corpus
    ) -> tuple[list[tuple[str, ...]], NDArray[np.float64]]:
        """Return the tokens of a query, and what each adds to the score of each document: ``(tokens, rows)``."""
        index = self.index(corpus)
        (tokens,) = index.analyzer.analyze([query]).lists()
        return [(token,) for token in tokens], index.term_scores(tokens, rows)

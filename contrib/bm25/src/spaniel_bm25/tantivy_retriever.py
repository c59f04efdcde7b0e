"""Retrieval by tantivy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, Stage
from spaniel.indexing import allowed_rows, index_need, open_index
from spaniel.store import Need

from spaniel_bm25.config import Tantivy
from spaniel_bm25.phrases import clauses_of
from spaniel_bm25.tantivy_indexer import LivingIndex

if TYPE_CHECKING:
    from spaniel import Context


class TantivyRetriever:
    """Searches the index of its options; an empty query, or one without a known term, gets an empty list."""

    def __init__(self, config: Tantivy, context: Context) -> None:
        self.config = config
        self.context = context
        self._indexer = Stage("spaniel-bm25/tantivy", **config.index().model_dump(mode="python"))

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index."""
        return [index_need(self.context, self._indexer, corpus)]

    def index(self, corpus: Corpus) -> LivingIndex:
        """Return the opened index of a corpus."""
        return cast(LivingIndex, open_index(self.context, self._indexer, corpus.need))

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query, among those that pass the filter."""
        allowed = allowed_rows(self.context, corpus, self.config.filter)
        found = self.index(corpus).search(queries.texts, self.config.k, allowed, self.config.phrases)
        self.context.advance(len(queries))
        return found

    def score_rows(
        self, queries: Queries, rows: Sequence[int], corpus: Corpus, run: Run | None = None
    ) -> NDArray[np.float64]:
        """Score every query with every document: ``(queries, rows)``; a document without a phrase that must occur, 0."""
        index, scores = self.index(corpus), np.zeros((len(queries), len(rows)))
        for at, query in enumerate(queries.texts):
            clauses = clauses_of(index.analyzer, query, self.config.phrases)
            added = index.clause_scores(clauses, rows)
            needed = [number for number, clause in enumerate(clauses) if clause.required]
            scores[at] = added.sum(axis=0) * (added[needed] > 0).all(axis=0)
        return scores

    def parts(
        self, query: str, rows: Sequence[int], corpus: Corpus
    ) -> tuple[list[tuple[str, ...]], NDArray[np.float64]]:
        """Return the tokens and phrases of a query, and what each adds to each document: ``(parts, rows)``."""
        index = self.index(corpus)
        clauses = clauses_of(index.analyzer, query, self.config.phrases)
        return [clause.tokens for clause in clauses], index.clause_scores(clauses, rows)

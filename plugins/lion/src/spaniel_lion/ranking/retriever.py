"""Retrieval by a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, Stage
from spaniel.indexing import allowed_rows, index_need, open_index
from spaniel.store import Need

from spaniel_lion.config import Ranked
from spaniel_lion.ranking.counts import CountsIndex

if TYPE_CHECKING:
    from spaniel import Context


class RankedRetriever:
    """Scores documents by a program; an empty query, or one without a known word, gets an empty list."""

    def __init__(self, config: Ranked, context: Context) -> None:
        self.config = config
        self.context = context
        self._indexer = Stage("spaniel-lion/ranked", **config.index().model_dump(mode="python"))

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index of counts."""
        return [index_need(self.context, self._indexer, corpus)]

    def index(self, corpus: Corpus) -> CountsIndex:
        """Return the opened index of a corpus."""
        return cast(CountsIndex, open_index(self.context, self._indexer, corpus.need))

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each query, among those that pass the filter.

        Raises:
            UsageError: the program is none, or gives a document no finite score.
        """
        allowed = allowed_rows(self.context, corpus, self.config.filter)
        found = self.index(corpus).search(queries.texts, self.config.k, allowed)
        self.context.advance(len(queries))
        return found

    def score_rows(
        self, queries: Queries, rows: Sequence[int], corpus: Corpus, run: Run | None = None
    ) -> NDArray[np.float64]:
        """Score every query with every document: ``(queries, rows)``, whatever ``k`` and the filter are."""
        return self.index(corpus).scores(queries.texts, rows)

"""Feedback by terms: the best documents of an earlier run lend a query their words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, UsageError
from spaniel.indexing import allowed_rows, check_filter, index_need, open_index
from spaniel.store import Need

from spaniel_bm25.bags import Bags, bags_of
from spaniel_bm25.lexical import LexicalIndex, Weighted

if TYPE_CHECKING:
    from spaniel import Context

Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Queries, terms and weights, one of each an entry; no pair of query and term comes twice."""


class TermFeedback(ABC):
    """Expands queries by terms of the first documents of a run, and searches an index for what comes out.

    Subclasses implement :meth:`expand`. A query whose list is empty is searched as it is.
    """

    def __init__(self, config: Any, context: Context) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def expand(self, bags: Bags, texts: NDArray[np.int64], run: Run, asked: Entries, index: LexicalIndex) -> Entries:
        """Return the weights of the expanded queries.

        Args:
            bags: documents and, behind them, queries, as bags of tokens.
            texts: ``(len(run.rows),)`` which of the bags each document of the run is.
            run: the feedback, cut.
            asked: the queries themselves: how often each term is asked for.
            index: what is to be searched.
        """

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index that is searched."""
        check_filter(self.context, self.config.index, self.config.filter)
        return [index_need(self.context, self.config.index, corpus)]

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best ``k`` documents of each expanded query, among those that pass the filter.

        Raises:
            UsageError: there is no earlier run, or the index is not of texts.
        """
        allowed = allowed_rows(self.context, corpus, self.config.filter)
        found = self.index(corpus).search_weighted(self.expanded(queries, corpus, run), self.config.k, allowed)
        self.context.advance(len(queries))
        return found

    def index(self, corpus: Corpus) -> LexicalIndex:
        """Return the opened index of a corpus.

        Raises:
            UsageError: it is not of texts.
        """
        index = open_index(self.context, self.config.index, corpus.need)
        if not isinstance(index, LexicalIndex):
            raise UsageError(f"feedback by terms searches an index of texts, such as `bm25`; not `{self.config.index}`")
        return index

    def expanded(self, queries: Queries, corpus: Corpus, run: Run | None) -> Weighted:
        """Return the expanded queries; their tokens come by descending weight."""
        if run is None:
            raise UsageError("feedback needs an earlier run: write it behind another stage, as in `bm25 >> rm3`")
        index = self.index(corpus)
        cut = run.cut(self.config.fb_docs)
        rows, texts = np.unique(cut.rows, return_inverse=True)
        bags = bags_of(index.analyzer, [*corpus.contents(rows), *queries.texts])
        owners, entries = bags.take(np.arange(len(queries), dtype=np.int64) + len(rows))
        asked = (owners, bags.terms[entries], bags.counts[entries])
        groups, terms, weights = self.expand(bags, texts.astype(np.int64), cut, asked, index)
        order = np.lexsort((terms, -weights, groups))
        order = order[weights[order] > 0]
        offsets = np.searchsorted(groups[order], np.arange(len(queries) + 1)).astype(np.int64)
        return Weighted(offsets, [bags.vocabulary[term] for term in terms[order].tolist()], weights[order])

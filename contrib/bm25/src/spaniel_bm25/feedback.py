"""Feedback by terms: the best documents of an earlier run lend a query their words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, UsageError
from spaniel.indexing import allowed_rows, check_filter, index_need, open_index
from spaniel.store import Need

from spaniel_bm25.bags import Bags, add_up, bags_of
from spaniel_bm25.lexical import LexicalIndex, Weighted
from spaniel_bm25.rows import score_weighted

if TYPE_CHECKING:
    from spaniel import Context

Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Queries, terms and weights, one of each an entry; no pair of query and term comes twice."""


class Expanded(NamedTuple):
    """A term of an expanded query.

    Attributes:
        token: the term.
        own: the weight that the query gives to it.
        sources: the weight that each document of the feedback gives to it, by row; with ``own`` they are its weight.
    """

    token: str
    own: float
    sources: Mapping[int, float]

    @property
    def weight(self) -> float:
        """The whole weight."""
        return self.own + sum(self.sources.values())


class TermFeedback(ABC):
    """Expands queries by terms of the first documents of a run, and searches an index for what comes out.

    Subclasses implement :meth:`expand` and :meth:`evidence`. A query whose list is empty is searched as it is.
    """

    def __init__(self, config: Any, context: Context) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def evidence(self, bags: Bags, texts: NDArray[np.int64], run: Run, index: LexicalIndex) -> Entries:
        """Return what documents say for terms: documents of the run, terms and amounts; of any that may expand a query.

        What feedback adds to a term's weight is owed to documents in proportion to these amounts. Arguments are those of
        :meth:`expand`.
        """

    @abstractmethod
    def expand(
        self, bags: Bags, texts: NDArray[np.int64], run: Run, asked: Entries, index: LexicalIndex
    ) -> tuple[Entries, Entries]:
        """Return the weights of the expanded queries: what the query itself gives to terms, and what the documents do.

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
        bags, _, _, (own, fed) = self._expanded(queries, corpus, run)
        owners, found, amounts = (np.concatenate(pair) for pair in zip(own, fed, strict=True))
        groups, terms, weights = add_up(owners, found, amounts, len(bags.vocabulary))
        order = np.lexsort((terms, -weights, groups))
        order = order[weights[order] > 0]
        offsets = np.searchsorted(groups[order], np.arange(len(queries) + 1)).astype(np.int64)
        return Weighted(offsets, [bags.vocabulary[term] for term in terms[order].tolist()], weights[order])

    def expansion(self, query: str, corpus: Corpus, run: Run | None) -> list[Expanded]:
        """Return the terms of one expanded query, with what the query and each document give to them."""
        queries = Queries.from_lists(["query"], [query])
        bags, texts, cut, (own, fed) = self._expanded(queries, corpus, run)
        documents, terms, amounts = self.evidence(bags, texts, cut, self.index(corpus))
        mine = dict(zip(own[1].tolist(), own[2].tolist(), strict=True))
        theirs = dict(zip(fed[1].tolist(), fed[2].tolist(), strict=True))
        made = []
        for term in sorted({*mine, *theirs}, key=lambda term: (-mine.get(term, 0.0) - theirs.get(term, 0.0), term)):
            here = terms == term
            shares = theirs.get(term, 0.0) * amounts[here] / (amounts[here].sum() or 1.0)
            sources = dict(zip(cut.rows[documents[here]].tolist(), shares.tolist(), strict=True))
            if mine.get(term, 0.0) + theirs.get(term, 0.0) > 0:
                made.append(Expanded(bags.vocabulary[term], mine.get(term, 0.0), sources if term in theirs else {}))
        return made

    def score_rows(
        self, queries: Queries, rows: Sequence[int], corpus: Corpus, run: Run | None = None
    ) -> NDArray[np.float64]:
        """Score every query, expanded by its list, with every document: ``(queries, rows)``."""
        return score_weighted(self.index(corpus), self.expanded(queries, corpus, run), rows)

    def _expanded(
        self, queries: Queries, corpus: Corpus, run: Run | None
    ) -> tuple[Bags, NDArray[np.int64], Run, tuple[Entries, Entries]]:
        if run is None:
            raise UsageError("feedback needs an earlier run: write it behind another stage, as in `bm25 >> rm3`")
        index = self.index(corpus)
        cut = run.cut(self.config.fb_docs)
        rows, places = np.unique(cut.rows, return_inverse=True)
        texts = places.astype(np.int64)
        bags = bags_of(index.analyzer, [*corpus.contents(rows), *queries.texts])
        owners, entries = bags.take(np.arange(len(queries), dtype=np.int64) + len(rows))
        asked = (owners, bags.terms[entries], bags.counts[entries])
        return bags, texts, cut, self.expand(bags, texts, cut, asked, index)

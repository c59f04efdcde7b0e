"""Long lists by an expensive scorer, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import Corpus, Queries, Run
from spaniel.indexing import index_need, open_index
from spaniel.learning import Lesson
from spaniel.store import Need

from spaniel_anncur.budgeted import Searcher, scored_run
from spaniel_anncur.matrix import NAME, anchor_lessons, matrix_need
from spaniel_anncur.regression import Solver
from spaniel_anncur.retriever import plan_of
from spaniel_anncur.rounds import Items
from spaniel_anncur.scoring import PairScorer

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_anncur.config import AdacurRerankConfig

_INDEX = "cur(anchors=1)"
LISTS = 64
"""Lists that are reranked together."""


class AdacurReranker:
    """ADACUR among the documents of each list: it begins with the first, and returns what it scored.

    A list that is not longer than the budget is scored whole.
    """

    def __init__(self, config: AdacurRerankConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index of the score matrix, and what the scorer needs."""
        matrix = matrix_need(self.context, self.config, corpus)
        scorer = PairScorer(self.context, self.config.scorer)
        return [index_need(self.context, _INDEX, matrix, NAME), *scorer.needs(corpus)]

    def lessons(self) -> list[Lesson]:
        """The anchor queries."""
        return anchor_lessons(self.context, self.config)

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        """Return lists of what was scored, at most ``budget`` documents each."""
        need = matrix_need(self.context, self.config, corpus.need)
        index: Any = open_index(self.context, _INDEX, need, NAME)
        features, rows = index.matrix()
        means = None
        if self.config.center:
            means = self.context.remember(
                f"means {need.recipe.address}", lambda: features.mean(axis=1, dtype=np.float32)
            )
        whole = Items(features, means)
        run = run.cut(self.config.k)
        made = []
        for start in range(0, len(run), LISTS):
            part = range(start, min(start + LISTS, len(run)))
            made.append(self._block([queries.texts[q] for q in part], run.select(part), corpus, whole, rows))
            self.context.advance(len(part))
        return Run.concatenate(made)

    def _block(self, texts: Sequence[str], run: Run, corpus: Corpus, whole: Items, rows: Any) -> Run:
        config = self.config
        # Only documents that some list of the block holds take part.
        held = np.flatnonzero(np.isin(rows, run.rows))
        items = Items(np.asarray(whole.features[held]), None if whole.means is None else whole.means[held])
        solver = Solver(config.solver, config.rcond, config.ridge)
        scorer = PairScorer(self.context, config.scorer)
        searcher = Searcher(self.context, items, rows[held], scorer, plan_of(config), solver, "adacur-rerank")
        listed = searcher.places(run, int(run.lengths.max(initial=0)))
        candidates = np.zeros((len(run), len(items)), bool)
        owners, at = np.nonzero(listed >= 0)
        candidates[owners, listed[owners, at]] = True
        begin = searcher.places(run, searcher.plan.sizes[0])
        return scored_run(searcher.find(texts, corpus, begin, candidates), searcher.rows)

"""Retrieval by an expensive scorer: ANNCUR, ADACUR, AXN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, UsageError
from spaniel.data import topk
from spaniel.expression import Stage
from spaniel.indexing import index_need, open_index
from spaniel.learning import Lesson
from spaniel.store import Need

from spaniel_anncur.budgeted import Searcher, blocks, filled_run, scored_run
from spaniel_anncur.matrix import NAME, AnchorQueries, anchor_lessons, anchor_queries, matrix_need
from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Found, Items, Plan, round_sizes
from spaniel_anncur.scoring import PairScorer
from spaniel_anncur.shares import choose_share

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_anncur.config import AdacurConfig, AnncurConfig, AxnConfig, SearchConfig
    from spaniel_anncur.cur_index import CurIndex


class Opened(NamedTuple):
    """What a corpus is searched with."""

    items: Items
    rows: NDArray[np.int32]
    anchors: NDArray[np.int64]
    queries: AnchorQueries
    side: Mapping[str, Any] = {}
    """What makes a query's vector of an encoder's, where there is one."""


class Budgeted(ABC):
    """Scores no more than ``budget`` documents for a query, none twice; returns the best ``k`` of them."""

    name: str

    def __init__(self, config: Any, context: Context) -> None:
        self.config = config
        self.context = context
        self._held: tuple[str, Opened] | None = None

    @abstractmethod
    def needs(self, corpus: Need) -> Sequence[Need]:
        """Name what the search needs of a corpus."""

    @abstractmethod
    def search(self, texts: Sequence[str], corpus: Corpus, run: Run | None) -> tuple[Found, Opened]:
        """Search for a block of queries, with their lists of an earlier run."""

    def lessons(self) -> list[Lesson]:
        """The anchor queries."""
        return anchor_lessons(self.context, self.config)

    @cached_property
    def scorer(self) -> PairScorer:
        """The expensive scorer."""
        return PairScorer(self.context, self.config.scorer)

    @property
    def solver(self) -> Solver:
        """How queries are fitted."""
        return Solver(self.config.solver, self.config.rcond, self.config.ridge)

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the best of what was scored."""
        config: SearchConfig = self.config
        asked = [position for position, text in enumerate(queries.texts) if text.strip()]
        earlier = None if run is None else run.select(asked)

        def find(at: slice, texts: list[str]) -> Run:
            part = None if earlier is None else earlier.select(range(at.start, at.stop))
            found, opened = self.search(texts, corpus, part)
            if not config.fill:
                return scored_run(found, opened.rows).cut(config.k)
            made = filled_run(found, opened.items, opened.rows, config.k).cut(config.k)
            scored = np.minimum((found.seen >= 0).sum(axis=1), config.k)
            self.context.count("documents by estimate", int((made.lengths - scored).sum()))
            return made

        return blocks(queries, self.searcher(self.opened(corpus)).block, find, self.context.advance)

    def opened(self, corpus: Corpus) -> Opened:
        """Return what the corpus is searched with, opened once for all blocks of queries."""
        if self._held is None or self._held[0] != corpus.address:
            self._held = (corpus.address, self._open(corpus))
        return self._held[1]

    @abstractmethod
    def _open(self, corpus: Corpus) -> Opened:
        """Open what the corpus is searched with."""

    @abstractmethod
    def plan(self, opened: Opened) -> Plan:
        """Return the rounds."""

    def searcher(self, opened: Opened) -> Searcher:
        """Return what runs the rounds."""
        plan, solver = self.plan(opened), self.solver
        return Searcher(self.context, opened.items, opened.rows, self.scorer, plan, solver, self.name)


class _OverMatrix(Budgeted):
    """Over the scores of anchor queries with all documents."""

    config: AnncurConfig | AdacurConfig

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index of the score matrix, and what the scorer needs."""
        return [
            index_need(self.context, self._index(), matrix_need(self.context, self.config, corpus), NAME),
            *self.scorer.needs(corpus),
        ]

    def _open(self, corpus: Corpus) -> Opened:
        need = matrix_need(self.context, self.config, corpus.need)
        index: CurIndex = open_index(self.context, self._index(), need, NAME)  # type: ignore[assignment]
        features, rows = index.matrix()
        queries = self.context.opened(self.context.obtain(need), "anchor queries", anchor_queries)
        items = Items(features, features.mean(axis=1, dtype=np.float32) if self.config.center else None)
        return Opened(items, rows, np.flatnonzero(np.isin(rows, index.anchors)), queries)

    @abstractmethod
    def _index(self) -> Stage:
        """Return the expression of the index."""


class Anncur(_OverMatrix):
    """Scores the anchors, fits, and scores the best by the estimates (Yadav et al., EMNLP 2022, §2.2).

    Anchors are part of the result with their exact scores, and are not scored again; in the authors' code they are.
    """

    config: AnncurConfig
    name = "anncur"

    @property
    def count(self) -> int:
        """Anchors: as many as the share says; the most that any share says where it is to be chosen."""
        anchors, budget = self.config.anchors, self.config.budget
        if isinstance(anchors, int):
            return anchors
        return max(1, round(budget * (0.75 if anchors == "auto" else anchors)))

    def _index(self) -> Stage:
        return Stage("cur", anchors=self.count, selection=self.config.selection)

    def _open(self, corpus: Corpus) -> Opened:
        opened, config = super()._open(corpus), self.config
        if config.solver == "direct":
            return _by_documents(opened, self.count)
        if config.anchors == "auto":
            seed = self.context.seed_for("anncur", "share")
            count = choose_share(opened.items, opened.anchors, config.budget, config.k, self.solver, seed)
            return opened._replace(anchors=_some(opened.anchors, count, self.context.rng("anncur", "anchors")))
        return opened

    def plan(self, opened: Opened) -> Plan:
        """The anchors, then the rest of the budget."""
        first = len(opened.anchors)
        return Plan((first, self.config.budget - first) if self.config.budget > first else (first,))

    def search(self, texts: Sequence[str], corpus: Corpus, run: Run | None) -> tuple[Found, Opened]:
        """Search for a block of queries."""
        opened = self.opened(corpus)
        begin = np.tile(opened.anchors, (len(texts), 1))
        return self.searcher(opened).find(texts, corpus, begin), opened


class Adacur(_OverMatrix):
    """Chooses anchors for each query in rounds (Yadav et al., Findings of EMNLP 2023)."""

    config: AdacurConfig
    name = "adacur"

    def _index(self) -> Stage:
        return Stage("cur", anchors=1)

    def plan(self, opened: Opened) -> Plan:
        """Equal rounds, and a last one where the budget is split."""
        return plan_of(self.config)

    def search(self, texts: Sequence[str], corpus: Corpus, run: Run | None) -> tuple[Found, Opened]:
        """Search for a block of queries."""
        opened = self.opened(corpus)
        searcher = self.searcher(opened)
        return searcher.find(texts, corpus, first_places(searcher, texts, run)), opened


class Axn(Budgeted):
    """ADACUR over fitted vectors (Yadav et al., ICLR 2024)."""

    config: AxnConfig
    name = "axn"

    @property
    def solver(self) -> Solver:
        """Ridge regression."""
        return Solver("ridge", ridge=self.config.ridge)

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The index of the fitted vectors, and what the scorer needs."""
        return [index_need(self.context, "cur(anchors=1)", self._factors(corpus), NAME), *self.scorer.needs(corpus)]

    def _factors(self, corpus: Need) -> Need:
        from spaniel_anncur.factor_matrix import factors_need

        return factors_need(self.context, self.config, corpus)

    def _open(self, corpus: Corpus) -> Opened:
        from spaniel_anncur.factor_matrix import query_side

        need = self._factors(corpus.need)
        index: CurIndex = open_index(self.context, "cur(anchors=1)", need, NAME)  # type: ignore[assignment]
        features, rows = index.matrix()
        side = self.context.opened(self.context.obtain(need), "query side", query_side)
        return Opened(Items(features), rows, np.zeros(0, np.int64), AnchorQueries([], []), side)

    def plan(self, opened: Opened) -> Plan:
        """Equal rounds, and a last one where the budget is split."""
        return plan_of(self.config)._replace(smoothing=self.config.smoothing)

    def _own(self, texts: Sequence[str], opened: Opened) -> NDArray[np.float32]:
        from spaniel_anncur.factor_matrix import plain_values
        from spaniel_anncur.factors import query_vectors

        encoder = self.context.create("encode", self.config.encoder)
        return query_vectors(dict(opened.side), plain_values(encoder.encode(texts, "query")[NAME]))

    def search(self, texts: Sequence[str], corpus: Corpus, run: Run | None) -> tuple[Found, Opened]:
        """Search for a block of queries; without an earlier run the first documents are the encoder's best."""
        opened = self.opened(corpus)
        searcher, own = self.searcher(opened), self._own(texts, opened)
        begin = first_places(searcher, texts, run)
        if run is None:
            begin = topk(opened.items.estimate(own.astype(np.float64)), searcher.plan.sizes[0])[0].astype(np.int64)
        return searcher.find(texts, corpus, begin, own=own), opened


def plan_of(config: Any) -> Plan:
    """Return the rounds that options describe."""
    return Plan(round_sizes(config.budget, config.rounds, config.last), config.next, config.temperature)


def first_places(searcher: Searcher, texts: Sequence[str], run: Run | None) -> NDArray[np.int64]:
    """Return the documents that an earlier run gives the first round."""
    if run is None:
        return np.full((len(texts), 0), -1, np.int64)
    return searcher.places(run, searcher.plan.sizes[0])


def _by_documents(opened: Opened, count: int) -> Opened:
    """Let the first anchor queries' own documents be the anchors, and the scores with them the features."""
    named = opened.queries.rows[:count]
    order = np.argsort(opened.rows, kind="stable")
    at = np.minimum(np.searchsorted(opened.rows, named, sorter=order), len(order) - 1)
    if not np.array_equal(opened.rows[order[at]], named):
        raise UsageError("solver=direct: a document that an anchor query is made of is no longer in the index")
    return opened._replace(items=Items(opened.items.features[:, : len(named)]), anchors=order[at])


def _some(anchors: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.choice(anchors, min(count, len(anchors)), replace=False))

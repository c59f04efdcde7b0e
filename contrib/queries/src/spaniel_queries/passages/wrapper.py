"""The component: a system that searches passages, or reranks those of each document."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Expression, Queries, Run
from spaniel.expression import Chain
from spaniel.pipeline import Pipeline
from spaniel.pipeline.run import needs
from spaniel.store import Need

from spaniel_queries import config as options
from spaniel_queries.passages.corpus import Passages as Split
from spaniel_queries.passages.corpus import open_passages, passages_need, split_need
from spaniel_queries.passages.cutting import Cutter
from spaniel_queries.passages.growing import grown, own_k, with_options
from spaniel_queries.passages.pooling import absent_scores, pool_run

if TYPE_CHECKING:
    from spaniel import Context


class Listed(NamedTuple):
    """Passages with their scores.

    Attributes:
        run: the passages of each query.
        absent: ``(queries,)`` what a passage scores that is not in the list.
        system: what gave them, as it was asked last.
        behind: the run of passages that it worked on.
    """

    run: Run
    absent: NDArray[np.float64]
    system: Expression
    behind: Run | None = None


class Passages:
    """Runs a system on the passages of documents and pools their scores.

    Where it begins a pipeline, the system searches all passages; it is asked for twice as many, again and again, until
    ``k`` documents are found or it has no more. Behind a run, the passages of its documents are what the system reranks.
    """

    covers_systems = True

    def __init__(self, config: options.Passages, context: Context) -> None:
        self.config = config
        self.context = context
        self.cutter = Cutter(config, context)

    @property
    def system(self) -> Expression:
        """What searches or reranks passages."""
        return self.config.system[0]

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The passages, of which document each is, and what the system needs for them."""
        passages = passages_need(self.context, self.cutter, corpus)
        split = split_need(self.context, passages, corpus)
        return [passages, split, *needs(self.context, self._pipeline, passages)]

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return a run of documents."""
        split = open_passages(self.context, self.cutter, corpus)
        return self.pool(self.list_passages(queries, split, run), split)

    def list_passages(self, queries: Queries, split: Split, run: Run | None) -> Listed:
        """Return the passages whose scores are pooled."""
        if run is not None and self._pipeline.follows != "never":
            return self._reranked(queries, run, split)
        return self._searched(queries, split)

    def pool(self, listed: Listed, split: Split) -> Run:
        """Return the documents of passages."""
        pooled = pool_run(listed.run, split, self.config.pool, self.config.best, listed.absent)
        k = self.config.k or own_k(self._pipeline)
        return pooled if k is None else pooled.cut(k)

    def _searched(self, queries: Queries, split: Split) -> Listed:
        k, everything = own_k(self._pipeline), len(split.corpus)
        found = self._ask(self.system, queries, split, k)
        if k is None:
            return found
        wanted = min(self.config.k or k, len(split.sizes))
        pending, factor, latest = np.arange(len(queries)), 1, found
        while k * factor < everything:
            # A list that is not full has all that there is.
            short = self.pool(latest, split).lengths < wanted
            pending = pending[short & (latest.run.lengths >= k * factor)]
            if not len(pending):
                break
            factor *= 2
            system = grown(self._pipeline, factor)
            latest = self._ask(system, queries.select(pending.tolist()), split, k * factor)
            places = np.arange(len(queries))
            places[pending] = len(queries) + np.arange(len(pending))
            run = Run.concatenate([found.run, latest.run]).select(places)
            found = Listed(run, np.concatenate([found.absent, latest.absent])[places], system)
        return found

    def _ask(self, system: Expression, queries: Queries, split: Split, k: int | None) -> Listed:
        run = self.context.run(system, queries, split.corpus)
        is_cut = np.full(len(queries), True) if k is None else (run.lengths >= k) & (run.lengths < len(split.corpus))
        return Listed(run, absent_scores(run, is_cut), system)

    def _reranked(self, queries: Queries, run: Run, split: Split) -> Listed:
        """Each passage begins with the score of its document."""
        first = next((stage for stage in self._pipeline.stages if stage.gives == "run"), None)
        k = getattr(first.config, "k", None) if first is not None and first.kind == "rerank" else None
        documents = self.config.k or (k if type(k) is int else None)
        run = run if documents is None else run.cut(documents)
        rows, owners = split.of(run.rows)
        starts = np.searchsorted(run.owners[owners], np.arange(len(run) + 1))
        passages = Run.build(starts, rows, run.scores[owners])
        system = self.system
        if first is not None and type(k) is int:
            # The reranker's k counts documents here.
            most = max(1, int(passages.lengths.max(initial=0)))
            stages = [with_options(s, k=most) if s is first else s.expression for s in self._pipeline.stages]
            system = stages[0] if len(stages) == 1 else Chain(*stages)
        made = self.context.run(system, queries, split.corpus, passages)
        return Listed(made, absent_scores(made, np.full(len(made), True)), system, passages)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return self.context.pipeline(self.system, behind=True)

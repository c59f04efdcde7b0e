"""Fusion and cutting as components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel.builtin import config as options
from spaniel.data import Corpus, Queries, Run, fuse_rrf, fuse_weighted
from spaniel.store import Need

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.expression import Expression


class _Fusion:
    """Runs its systems on the same queries, each behind the earlier run where there is one."""

    def __init__(self, systems: Sequence[Expression], context: Context) -> None:
        self.systems = systems
        self.context = context

    def runs(self, queries: Queries, corpus: Corpus, run: Run | None) -> list[Run]:
        return [self.context.run(system, queries, corpus, run) for system in self.systems]

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The systems name their own needs."""
        return ()


class ReciprocalRankFusion(_Fusion):
    """Sum over systems of weight / (k + rank), ranks from 1 (Cormack et al. 2009)."""

    def __init__(self, config: options.ReciprocalRankFusion, context: Context) -> None:
        super().__init__(config.systems, context)
        self.config = config

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        return fuse_rrf(self.runs(queries, corpus, run), self.config.k, self.config.weights)


class WeightedSum(_Fusion):
    """Sum over systems of weight · normalised score."""

    def __init__(self, config: options.WeightedSum, context: Context) -> None:
        super().__init__(config.systems, context)
        self.config = config

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        weights = self.config.weights or (1.0,) * len(self.systems)
        runs = self.runs(queries, corpus, run)
        return fuse_weighted(runs, weights, self.config.norm, self.config.missing)


class Cut:
    """The first k documents of each list."""

    def __init__(self, config: options.Cut, context: Context) -> None:
        self.config = config

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        return run.cut(self.config.k)

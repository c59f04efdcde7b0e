"""Measuring a model while it is trained, in memory: nothing goes to the store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context, Run, UsageError
from spaniel.collections import find_dataset
from spaniel.data import topk, without_own
from spaniel.evaluation import evaluate
from spaniel.system import open_task

from spaniel_train.data import held_out
from spaniel_train.models import ScoringTrainee, SearchingTrainee, Trainee
from spaniel_train.recipe import Evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

DEPTH = 1000
"""Documents retrieved per query."""
_BLOCK = 512
"""Documents encoded and compared with all queries at once."""


class Evaluator:
    """Measures models on a collection.

    Raises:
        UsageError: there is no such collection, or no query of it is held out.
    """

    def __init__(self, context: Context, spec: Evaluation) -> None:
        self.context = context
        self.spec = spec
        task = open_task(context, find_dataset(context, spec.collection), spec.split)
        assert task.qrels is not None  # the recipe's check has chosen a split
        self.corpus = task.corpus
        self.queries = task.queries if spec.held_out is None else held_out(task.queries, spec.held_out)
        if not len(self.queries):
            raise UsageError(f"evaluation: no query of {spec.collection} is held out by held_out: {spec.held_out}")
        self.qrels = task.qrels.select(self.queries.ids)
        self.own_left_out = task.own_left_out

    def measure(self, trainee: Trainee) -> float:
        """Return the mean of the measure over the queries.

        Raises:
            UsageError: models of this kind cannot be measured so.
        """
        trainee.model.eval()
        with torch.no_grad():
            run = self._run(trainee)
        trainee.model.train()
        if self.own_left_out:
            run = without_own(run, self.queries, self.corpus)
        (value,) = evaluate(run, self.queries, self.corpus, self.qrels, [self.spec.measure]).means.values()
        return value

    def _run(self, trainee: Trainee) -> Run:
        if self.spec.rerank is not None:
            first = self.context.run(self.spec.rerank, self.queries, self.corpus)
            if isinstance(trainee, SearchingTrainee):
                return self._compare(trainee, first)
            if isinstance(trainee, ScoringTrainee):
                return self._score(trainee, first)
        elif isinstance(trainee, SearchingTrainee):
            return self._search(trainee)
        how = "search" if self.spec.rerank is None else "reranking"
        raise UsageError(f"evaluation: {type(trainee).__name__} cannot be measured by {how}")

    def _search(self, trainee: SearchingTrainee) -> Run:
        count = len(self.queries)
        best, rows = np.empty((count, 0), np.float32), np.empty((count, 0), np.int32)
        places = np.arange(len(self.corpus), dtype=np.int64)
        for block, scores in self._blocks(trainee, places):
            # Earlier documents stand first, so that of equal scores the lower row wins.
            every = np.concatenate([rows, np.broadcast_to(block.astype(np.int32), scores.shape)], axis=1)
            columns, best = topk(np.concatenate([best, scores], axis=1), DEPTH)
            rows = np.take_along_axis(every, columns, axis=1)
        return Run.from_matrix(rows, best)

    def _score(self, trainee: ScoringTrainee, first: Run) -> Run:
        texts = self.corpus.contents(first.rows)
        lists: list[Sequence[str]] = [texts[start:stop] for start, stop in pairwise(first.offsets.tolist())]
        return Run.build(first.offsets, first.rows, trainee.score(self.queries.texts, lists))

    def _compare(self, trainee: SearchingTrainee, first: Run) -> Run:
        scores = np.empty(len(first.rows), np.float32)
        for block, made in self._blocks(trainee, np.unique(first.rows).astype(np.int64)):
            column = np.searchsorted(block, first.rows)
            here = (column < len(block)) & (block[np.minimum(column, len(block) - 1)] == first.rows)
            scores[here] = made[first.owners[here], column[here]]
        return Run.build(first.offsets, first.rows, scores)

    def _blocks(
        self, trainee: SearchingTrainee, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield rows of the corpus, and their scores with all queries: ``(queries, rows)``."""
        queries = trainee.read(self.queries.texts, "query")
        read = trainee.reader(self.corpus)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            yield block, trainee.compare(queries, read(block))

"""What pointwise rerankers share: cutting, reading, batching, counting, sorting, weighing against the first stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spaniel.data import Corpus, Queries, Run
from spaniel.errors import UsageError
from spaniel.overriding import Overridable

if TYPE_CHECKING:
    from spaniel.config import Config
    from spaniel.context import Context

BATCH = 256
"""Pairs given to ``score`` at once where neither the session nor the reranker says."""


class PointwiseReranker(Overridable, ABC):
    """Scores each document of a list by itself; subclasses implement :meth:`score`.

    An option ``k`` in the config, where there is one, says how many documents of each list are reranked; the rest is
    dropped. A subclass whose score is to count beside that of the stage before overrides :meth:`weight`; where its scores come
    from a model, :meth:`fingerprint`. A value in the place of a method is a ``TypeError`` that names it.

    Attributes:
        window: pairs given to :meth:`score` at once by rerankers that make batches of their own, such as of like
            length; without one, the session's batch size or :data:`BATCH`.
    """

    window: ClassVar[int | None] = None

    def __init__(self, config: Config | None, context: Context) -> None:
        self.config: Any = config
        self.context = context

    @abstractmethod
    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Score pairs: ``(n,)`` for ``n`` queries and ``n`` texts; pairs do not influence each other."""

    def fingerprint(self) -> Mapping[str, str]:
        """Digests of what decides scores beyond the options: nothing, unless a subclass has a model and says which."""
        return {}

    def weight(self) -> float:
        """Return how much the reranker's own score counts, from 0 to 1 (alone); see :func:`interpolate`."""
        return 1.0

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        """Score every document of every list, and weigh the scores where :meth:`weight` says so."""
        k = getattr(self.config, "k", None)
        run = run if k is None else run.cut(k)
        reranked = Run.build(run.offsets, run.rows, self.score_run(queries, run, corpus))
        weight = self.weight() if len(run.rows) else 1.0
        return reranked if weight == 1 else interpolate(run, reranked, weight)

    def score_run(self, queries: Queries, run: Run, corpus: Corpus) -> np.ndarray:
        """Score the documents of a run, ``(documents,)`` float32, in batches that cross queries."""
        position = run.owners
        scores = np.empty(len(run.rows), dtype=np.float32)
        size = self.window or self.context.batch_size or BATCH
        done, reached = 0, 0

        def advance(pairs: int) -> None:
            nonlocal done, reached
            done += pairs
            before, reached = reached, int(position[done]) if done < len(position) else len(run)
            self.context.advance(reached - before)

        for start in range(0, len(scores), size):
            part = slice(start, start + size)
            texts = corpus.contents(run.rows[part])
            with self.context.following(len(texts), advance):
                made = np.asarray(self.score([queries.texts[i] for i in position[part]], texts))
            if made.shape != (len(texts),):
                raise ValueError(f"score returned shape {made.shape} for {len(texts)} pairs, not ({len(texts)},)")
            scores[part] = made
            self.context.count("pairs scored", len(texts))
        return scores


def interpolate(first: Run, reranked: Run, weight: float) -> Run:
    """Return ``weight`` · the reranked score + (1 - ``weight``) · the first stage's, both standardised over their list.

    The scores of a list have mean 0 and deviation 1 on either side, so that the weight means the same for any two
    methods. Both runs hold the same documents.

    Raises:
        UsageError: the weight is not from 0 to 1, or the runs do not hold the same documents.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"the weight of a reranker is from 0 to 1, not {weight}")
    mine, theirs = (np.lexsort((run.rows, run.owners)) for run in (reranked, first))
    same = np.array_equal(first.offsets, reranked.offsets) and np.array_equal(first.rows[theirs], reranked.rows[mine])
    if not same:
        raise UsageError(
            "a reranker's score is weighed against the stage before over the same documents, in one list each"
        )
    scores = weight * reranked.normalise("z-score").scores[mine].astype(np.float64)
    scores += (1 - weight) * first.normalise("z-score").scores[theirs].astype(np.float64)
    return Run.build(first.offsets, first.rows[theirs], scores)

"""What pointwise rerankers share: cutting, reading, batching, counting, sorting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spaniel.data import Corpus, Queries, Run

if TYPE_CHECKING:
    from spaniel.config import Config
    from spaniel.context import Context

BATCH = 256
"""Pairs given to ``score`` at once where the session leaves it open."""


class PointwiseReranker(ABC):
    """Scores each document of a list by itself; subclasses implement :meth:`score`.

    An option ``k`` in the config, where there is one, says how many documents of each list are reranked; the rest is
    dropped.
    """

    def __init__(self, config: Config | None, context: Context) -> None:
        self.config: Any = config
        self.context = context

    @abstractmethod
    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Score pairs: ``(n,)`` for ``n`` queries and ``n`` texts; pairs do not influence each other."""

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        """Score every document of every list, in batches that cross queries."""
        k = getattr(self.config, "k", None)
        run = run if k is None else run.cut(k)
        position = np.repeat(np.arange(len(run)), np.diff(run.offsets))
        scores = np.empty(len(run.rows), dtype=np.float32)
        size = self.context.batch_size or BATCH
        for start in range(0, len(scores), size):
            part = slice(start, start + size)
            texts = corpus.contents(run.rows[part])
            made = np.asarray(self.score([queries.texts[i] for i in position[part]], texts))
            if made.shape != (len(texts),):
                raise ValueError(f"score returned shape {made.shape} for {len(texts)} pairs, not ({len(texts)},)")
            scores[part] = made
            self.context.count("pairs scored", len(texts))
        return Run.build(run.offsets, run.rows, scores)

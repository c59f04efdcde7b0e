"""The expensive scorer: any reranker that scores pairs, asked for whole lists at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run, UsageError
from spaniel.protocols import Scorer
from spaniel.rerank import BATCH, PointwiseReranker
from spaniel.store import Need

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.expression import Expression


class PairScorer:
    """Scores queries with documents of a corpus.

    Args:
        expression: a component of kind ``rerank``.

    Raises:
        UsageError: it does not score pairs.
    """

    def __init__(self, context: Context, expression: Expression | str) -> None:
        self.context = context
        self.bound = context.bind("rerank", expression)
        self.component: Any = context.make(self.bound)
        if not isinstance(self.component, Scorer):
            raise UsageError(
                f"scorer={expression}: it reranks lists and does not score pairs; choose one that does, such as "
                "cross-encoder or maxsim"
            )

    def needs(self, corpus: Need) -> Sequence[Need]:
        """Return what the scorer needs of a corpus."""
        return tuple(self.component.needs(corpus)) if hasattr(self.component, "needs") else ()

    def identity(self) -> dict[str, Any]:
        """Return all that decides its scores, as JSON."""
        return {**self.bound.description, "fingerprint": dict(self.component.fingerprint())}

    def score(
        self, queries: Sequence[str], owners: NDArray[np.integer], rows: NDArray[np.integer], corpus: Corpus
    ) -> NDArray[np.float32]:
        """Score pairs, ``(pairs,)`` float32, all in one go so that the scorer can make batches of like length.

        Args:
            queries: texts.
            owners: ``(pairs,)``, which query each pair has.
            rows: ``(pairs,)``, which document.
        """
        order = np.lexsort((rows, owners))
        offsets = np.searchsorted(owners[order], np.arange(len(queries) + 1))
        # Equal scores leave a run's rows ascending, as they are here.
        run = Run.build(offsets, rows[order], np.zeros(len(rows), np.float32))
        made = np.empty(len(rows), np.float32)
        # What the scorer reports is queries of its own, which are no progress of whoever asks.
        with self.context.stage(f"score by {self.bound.registered.name}", len(queries), "queries"):
            made[order] = self._score_run(queries, run, corpus)
        return made

    def _score_run(self, queries: Sequence[str], run: Run, corpus: Corpus) -> NDArray[np.float32]:
        if isinstance(self.component, PointwiseReranker):
            asked = Queries.from_lists([str(number) for number in range(len(queries))], queries)
            return self.component.score_run(asked, run, corpus)
        owners, made = run.owners, [np.zeros(0, np.float32)]
        for start in range(0, len(run.rows), BATCH):
            part = slice(start, start + BATCH)
            texts = corpus.contents(run.rows[part])
            made.append(self.component.score([queries[owner] for owner in owners[part]], texts))
            self.context.count("pairs scored", len(texts))
        return np.concatenate(made)

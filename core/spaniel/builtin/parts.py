"""What each fused system adds to a document's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spaniel.builtin.fusion import ReciprocalRankFusion, WeightedSum
from spaniel.data import Corpus, Queries, Run
from spaniel.errors import UsageError
from spaniel.explain import explain_pipeline
from spaniel.explanation import Contribution, Explanation

if TYPE_CHECKING:
    from spaniel.context import Context


class FusionParts:
    """One contribution a system, with that system's own explanation beneath it where there is one."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(
        self, target: ReciprocalRankFusion | WeightedSum, query: str, rows: Sequence[int], corpus: Corpus
    ) -> Sequence[Explanation]:
        """Explain scores of a fusion that begins a pipeline."""
        queries = Queries.from_lists(["query"], [query])
        runs = target.runs(queries, corpus, None)
        return [self._one(target, query, runs, row, corpus) for row in rows]

    def _one(
        self, target: ReciprocalRankFusion | WeightedSum, query: str, runs: list[Run], row: int, corpus: Corpus
    ) -> Explanation:
        weights = target.config.weights or (1.0,) * len(runs)
        parts = []
        for system, run, weight in zip(target.systems, runs, weights, strict=True):
            found = np.flatnonzero(run.rows == row)
            if isinstance(target, ReciprocalRankFusion):
                rank = int(found[0]) + 1 if len(found) else 0
                score = weight / (target.config.k + rank) if rank else 0.0
                note = f"rank {rank} of {len(run.rows)}" if rank else "not retrieved"
            else:
                score, note = self._normalised(target, run, found)
                score, note = weight * score, f"{weight:g} × {note}"
            children: tuple[Contribution, ...] = ()
            if len(found):
                try:
                    inner = explain_pipeline(self.context, system, query, [row], corpus)[0]
                except UsageError:
                    inner = None  # no explainer for this system: its share is all that can be said
                if inner is not None:
                    children = inner.contributions
                    note += f"; its own score {inner.score:.4f}"
            parts.append(Contribution(str(system), float(score), "stage", children, note))
        total = float(sum(part.score for part in parts))
        name = "rrf" if isinstance(target, ReciprocalRankFusion) else "weighted"
        (document,) = corpus.ids([row])
        return Explanation(name, "fusion-parts", query, document, total, tuple(parts))

    def _normalised(self, target: WeightedSum, run: Run, found: np.ndarray) -> tuple[float, str]:
        scores = run.normalise(target.config.norm).scores
        if len(found):
            return float(scores[found[0]]), f"{scores[found[0]]:.4f} ({target.config.norm})"
        if target.config.missing == "zero" or not len(scores):
            return 0.0, "0 (not retrieved)"
        lowest = 0.0 if target.config.norm == "min-max" else float(scores.min())
        return lowest, f"{lowest:.4f} (not retrieved: the lowest)"

"""What each fused system adds to a document's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from spaniel.builtin.fusion import ReciprocalRankFusion, WeightedSum
from spaniel.data import Corpus, Queries, Run
from spaniel.errors import UsageError
from spaniel.explain import explain_pipeline
from spaniel.explanation import Contribution, Explanation

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.expression import Expression

Fusion: TypeAlias = ReciprocalRankFusion | WeightedSum


class FusionParts:
    """One contribution a system, with that system's own explanation beneath it where there is one."""

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: Fusion, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain scores of a fusion that begins a pipeline."""
        return self.explain_behind(target, query, rows, corpus, None)

    def explain_behind(
        self, target: Fusion, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain scores of a fusion behind an earlier run, which its systems work on."""
        if not len(rows):
            return []
        runs = target.runs(Queries.from_lists(["query"], [query]), corpus, run)
        weights = target.config.weights or (1.0,) * len(runs)
        columns = [
            self._system(target, system, found, weight, query, rows, corpus, run)
            for system, found, weight in zip(target.systems, runs, weights, strict=True)
        ]
        name = "rrf" if isinstance(target, ReciprocalRankFusion) else "weighted"
        made = []
        for document, parts in zip(corpus.ids(rows), zip(*columns, strict=True), strict=True):
            total = float(sum(part.score for part in parts))
            made.append(Explanation(name, "fusion-parts", query, document, total, parts))
        return made

    def _system(
        self,
        target: Fusion,
        system: Expression,
        found: Run,
        weight: float,
        query: str,
        rows: Sequence[int],
        corpus: Corpus,
        run: Run | None,
    ) -> list[Contribution]:
        """Return what one system adds to the score of each document."""
        inner = self._inside(system, query, rows, corpus, run)
        normalised = found.normalise(target.config.norm) if isinstance(target, WeightedSum) else found
        made = []
        for at, row in enumerate(rows):
            place = np.flatnonzero(found.rows == row)
            if isinstance(target, ReciprocalRankFusion):
                rank = int(place[0]) + 1 if len(place) else 0
                score = weight / (target.config.k + rank) if rank else 0.0
                note = f"rank {rank} of {len(found.rows)}" if rank else f"not among its {len(found.rows)} documents"
            else:
                score, note = self._normalised(target, normalised, row)
                score, note = weight * score, f"{weight:g} × {note}"
            children: tuple[Contribution, ...] = ()
            if isinstance(inner, str):
                note += f"; {inner}" if len(place) else ""
            elif len(place):
                children = inner[at].parts()
                if inner[at].query != query:
                    children = tuple(part.without_places("query") for part in children)
                note += f"; its own score {inner[at].score:.4f}"
                note += "".join(f"; {place.stage}: {place.note}" for place in inner[at].stages if place.note)
            made.append(Contribution(str(system), float(score), "stage", children, note))
        return made

    def _inside(
        self, system: Expression, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> list[Explanation] | str:
        """Return a system's own explanations, or why there are none: its share is then all that can be said."""
        try:
            return explain_pipeline(self.context, system, query, rows, corpus, run=run)
        except UsageError as error:
            return f"not explained further: {error}"

    def _normalised(self, target: WeightedSum, normalised: Run, row: int) -> tuple[float, str]:
        scores = normalised.scores
        # Normalising may make a tie, and so change the order.
        found = np.flatnonzero(normalised.rows == row)
        if len(found):
            return float(scores[found[0]]), f"{scores[found[0]]:.4f} ({target.config.norm})"
        if target.config.missing == "zero" or not len(scores):
            return 0.0, "0 (not retrieved)"
        lowest = 0.0 if target.config.norm == "min-max" else float(scores.min())
        return lowest, f"{lowest:.4f} (not retrieved: the lowest)"

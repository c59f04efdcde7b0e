"""What an estimated score is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Contribution, Corpus, Explanation, Run

from spaniel_anncur.retriever import Adacur, Anncur

if TYPE_CHECKING:
    from spaniel import Context

_SHOWN = 40


class AnchorQueries:
    """Explains a score by anchor queries: the estimate is the sum over them of the query's weight times their score.

    The weights are those that the query was fitted with, ``c = e U``; parts are the anchor queries with the largest
    contributions, and all others together. What the estimate misses of the exact score is the remainder; for documents
    that were scored that is the residual of the fit.
    """

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(
        self, target: Anncur | Adacur, query: str, rows: Sequence[int], corpus: Corpus
    ) -> Sequence[Explanation]:
        """Explain the scores that documents have with a query, by one search for the query."""
        return self.explain_behind(target, query, rows, corpus, None)

    def explain_behind(
        self, target: Anncur | Adacur, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain them by the search that begins with an earlier run."""
        found, opened = target.search([query], corpus, run)
        vector = found.fit()[0]
        exact = target.scorer.score([query], np.zeros(len(rows), np.int64), np.asarray(rows), corpus)
        scored = set(opened.rows[found.seen[0][found.seen[0] >= 0]].tolist())
        made = []
        for row, name, score in zip(rows, corpus.ids(rows), exact.tolist(), strict=True):
            place = int(np.flatnonzero(opened.rows == row)[0])
            features = np.asarray(opened.items.features[place], np.float64)
            base = 0.0
            if opened.items.means is not None:
                base = float(opened.items.means[place])
                features = features - base
            parts = self._parts(vector * features, vector, features, opened.queries.texts)
            if opened.items.means is not None:
                parts.append(Contribution("mean over the anchor queries", base, "baseline"))
            remainder = score - sum(part.score for part in parts)
            note = {"scored": row in scored, "estimate": score - remainder}
            made.append(
                Explanation(
                    target.name, "anchor-queries", query, name, score, tuple(parts), remainder, note, unit="score"
                )
            )
        return made

    def _parts(
        self, shares: np.ndarray, vector: np.ndarray, features: np.ndarray, texts: Sequence[str]
    ) -> list[Contribution]:
        order = np.argsort(-np.abs(shares), kind="stable")
        parts = [
            Contribution(
                texts[at], float(shares[at]), "anchor query", note=f"weight {vector[at]:.4f} × score {features[at]:.4f}"
            )
            for at in order[:_SHOWN].tolist()
        ]
        rest = order[_SHOWN:]
        if len(rest):
            parts.append(Contribution(f"{len(rest)} other anchor queries", float(shares[rest].sum()), "anchor query"))
        return parts

"""What each term adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Contribution, Corpus, Explanation

from spaniel_bm25.retriever import Bm25Retriever

if TYPE_CHECKING:
    from spaniel import Context


class Bm25Terms:
    """Exact: the score is the sum over terms."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: Bm25Retriever, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query."""
        index = target.index(corpus)
        made = []
        for row, name in zip(rows, corpus.ids(rows), strict=True):
            parts = tuple(
                Contribution(token, score, "term", note=f"asked for {count} times" if count > 1 else "")
                for token, count, score in index.contributions(query, row)
            )
            total = sum(part.score for part in parts)
            made.append(Explanation("bm25", "bm25-terms", query, name, total, parts))
        return made

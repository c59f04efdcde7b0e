"""What each term adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spaniel import Contribution, Corpus, Explanation

from spaniel_bm25.places import Places
from spaniel_bm25.retriever import Bm25Retriever

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_bm25.tantivy_retriever import TantivyRetriever


class Bm25Terms:
    """Exact: the score is the sum over the words of the query, or over its phrases where these are asked for."""

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(
        self, target: Bm25Retriever | TantivyRetriever, query: str, rows: Sequence[int], corpus: Corpus
    ) -> Sequence[Explanation]:
        """Explain the scores of documents for a query; nothing but these documents is looked at."""
        if not len(rows):
            return []
        asked, scores = target.parts(query, rows, corpus)
        analyzer = target.index(corpus).analyzer
        spans = Places(analyzer, query).in_order(asked)
        made = []
        for column, (name, text) in enumerate(zip(corpus.ids(rows), corpus.contents(rows), strict=True)):
            places = Places(analyzer, text)
            parts = []
            for tokens, span, score in zip(asked, spans, scores[:, column].tolist(), strict=True):
                label = " ".join(tokens) if span is None else query[slice(*span)]
                held = places.spots(tokens, "document")
                note = f"{len(held)} times in the document" if len(held) > 1 else "" if score else "not in the document"
                parts.append(
                    Contribution(label, score, "term", note=note, side="query" if span else "", span=span, places=held)
                )
            total = float(sum(part.score for part in parts))
            made.append(Explanation("bm25", "bm25-terms", query, name, total, tuple(parts)))
        return made

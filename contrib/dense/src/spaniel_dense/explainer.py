"""Explaining dense scores by leaving words out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Explanation
from spaniel.protocols import Encoder

from spaniel_dense.config import Occlusion
from spaniel_dense.retriever import NAME, DenseRetriever

if TYPE_CHECKING:
    from spaniel import Context


class DenseOcclusion:
    """A word's contribution is what the score loses without it; what words do together is the remainder."""

    def __init__(self, config: Occlusion, context: Context) -> None:
        self.config = config
        self.context = context

    def explain(self, target: DenseRetriever, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query, from the texts as they are encoded now."""
        encoder: Encoder = self.context.create("encode", target.config.encoder)
        return [self._one(encoder, query, row, corpus) for row in rows]

    def _one(self, encoder: Encoder, query: str, row: int, corpus: Corpus) -> Explanation:
        (document,) = corpus.documents([row])
        of_query = self.config.words == "query"
        text = query if of_query else document.contents
        words = text.split()
        variants = [text, *(" ".join(words[:i] + words[i + 1 :]) for i in range(len(words)))]
        changed = self._encode(encoder, variants, of_query)
        fixed = self._encode(encoder, [document.contents if of_query else query], not of_query)[0]
        scores = (changed @ fixed).astype(np.float64)
        parts = tuple(
            Contribution(word, float(scores[0] - score), "token") for word, score in zip(words, scores[1:], strict=True)
        )
        remainder = float(scores[0]) - sum(part.score for part in parts)
        return Explanation(
            "dense",
            "dense-occlusion",
            query,
            document.id,
            float(scores[0]),
            parts,
            remainder,
            {"words": self.config.words},
        )

    def _encode(self, encoder: Encoder, texts: list[str], are_queries: bool) -> NDArray[np.float32]:
        vectors = encoder.encode(texts, "query" if are_queries else "document")[NAME]
        values: NDArray[np.float32] = vectors.arrays()["values"]
        return values

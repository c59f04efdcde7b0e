"""Scores of queries with texts, by a reranker that scores pairs or by a dense encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Context, UsageError
from spaniel.protocols import Scorer
from spaniel_neural.texts import distinct


class PairScorer:
    """Scores any query with any text.

    Args:
        expression: a reranker or a dense encoder.
    """

    def __init__(self, context: Context, expression: Any) -> None:
        self.context = context
        self.expression = expression
        self.kind = _kind(context, expression)

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the scores of pairs, ``(n,)`` float32; of an encoder, by its own similarity.

        Raises:
            UsageError: the reranker does not score pairs, or the encoder gives no dense vectors.
        """
        component = self.context.create(self.kind, self.expression)
        if not len(texts):
            return np.zeros(0, np.float32)
        if self.kind == "rerank":
            if not isinstance(component, Scorer):
                raise UsageError(f"{self.expression} reranks lists and does not score pairs")
            return np.asarray(component.score(queries, texts), np.float32)
        (asked, query), (told, text) = distinct(queries), distinct(texts)
        left = _dense(component.encode(asked, "query"), self.expression)
        right = _dense(component.encode(told, "document"), self.expression)
        scores: NDArray[np.float32] = np.einsum("nd,nd->n", left[query], right[text]).astype(np.float32)
        return scores


def _kind(context: Context, expression: Any) -> str:
    try:
        context.bind("rerank", expression)
    except UsageError:
        context.bind("encode", expression)
        return "encode"
    return "rerank"


def _dense(made: Any, expression: Any) -> NDArray[np.float32]:
    if "dense" not in made:
        raise UsageError(f"{expression} gives {', '.join(made)}, and no dense vectors to score with")
    values = np.asarray(made["dense"].values, np.float32)
    if made["dense"].metric == "cosine":
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return values

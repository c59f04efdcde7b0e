"""A teacher of several members: each scaled over the candidates of a query, then averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import DenseVectors, SparseVectors, concatenate_vectors
from spaniel.protocols import Scorer

from spaniel_inference_free_sparse.config import EnsembleConfig

if TYPE_CHECKING:
    from spaniel import Context

KEPT = 100_000
"""Texts of a role whose vectors are kept in memory, for a member; all are forgotten when there are more."""


class Member:
    """An encoder or a reranker that scores queries with texts; the vectors of texts are made once.

    Args:
        context: the session.
        expression: an encoder that gives dense or sparse vectors, or a reranker that scores pairs.
    """

    def __init__(self, context: Context, expression: str) -> None:
        self.context = context
        self.expression = expression
        self.kind = _kind(context, expression)
        self._kept = {"query": Kept(), "document": Kept()}

    def matrix(self, queries: Sequence[str], texts: Sequence[str], wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return scores, ``(queries, texts)`` float32; those of pairs that are not wanted may be anything."""
        component = self.context.create(self.kind, self.expression)
        if self.kind == "encode":
            return self._vectors(component, queries, "query").dot(self._vectors(component, texts, "document"))  # type: ignore[no-any-return]
        if not isinstance(component, Scorer):
            raise UsageError(f"{self.expression} reranks lists and does not score pairs")
        made = np.zeros(wanted.shape, np.float32)
        rows, columns = np.nonzero(wanted)
        if len(rows):
            made[rows, columns] = component.score(
                [queries[r] for r in rows.tolist()], [texts[c] for c in columns.tolist()]
            )
        return made

    def _vectors(self, component: Any, texts: Sequence[str], role: Any) -> Any:
        kept = self._kept[role]
        lacking = kept.lacking(texts)
        if len(kept.rows) + len(lacking) > KEPT:
            kept = self._kept[role] = Kept()
            lacking = kept.lacking(texts)
        if lacking:
            made = component.encode(lacking, role)
            vectors = made.get("dense", made.get("sparse"))
            if not isinstance(vectors, DenseVectors | SparseVectors):
                raise UsageError(f"{self.expression} gives {', '.join(made)}; a teacher needs dense or sparse vectors")
            kept.add(lacking, vectors)
        return kept.take(texts)


class Kept:
    """Vectors of texts, by text."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.parts: list[Any] = []

    def lacking(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct texts that are not kept."""
        return [text for text in dict.fromkeys(texts) if text not in self.rows]

    def add(self, texts: Sequence[str], vectors: Any) -> None:
        """Keep the vectors of texts that are not kept yet."""
        self.rows.update((text, row) for row, text in enumerate(texts, len(self.rows)))
        self.parts.append(vectors)
        # The last parts are put together where they are of like length, so that a vector is copied seldom.
        while len(self.parts) > 1 and len(self.parts[-2]) <= len(self.parts[-1]):
            self.parts[-2:] = [concatenate_vectors(self.parts[-2:])]

    def take(self, texts: Sequence[str]) -> Any:
        """Return the vectors of texts, in their order."""
        rows = np.array([self.rows[text] for text in texts], np.int64)
        starts = np.cumsum([0, *map(len, self.parts)])
        numbers = np.searchsorted(starts, rows, side="right") - 1
        parts = [part.take(rows[numbers == n] - starts[n]) for n, part in enumerate(self.parts)]
        return concatenate_vectors(parts).take(np.argsort(np.argsort(numbers, kind="stable")))


class Ensemble:
    """The members together.

    Args:
        context: the session.
        config: members, weights and scale.
    """

    def __init__(self, context: Context, config: EnsembleConfig) -> None:
        self.config = config
        self.members = [Member(context, expression) for expression in config.members]

    def matrix(self, queries: Sequence[str], texts: Sequence[str], wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return teacher scores, ``(queries, texts)`` float32: 0 where a pair is not wanted.

        Args:
            queries: asked.
            texts: the candidates of all queries.
            wanted: ``(queries, texts)`` bool, which texts are candidates of a query.
        """
        c = self.config
        shares = np.array(c.weights if c.weights is not None else [1.0] * len(self.members), np.float64)
        total = np.zeros(wanted.shape, np.float64)
        for member, share in zip(self.members, shares / shares.sum(), strict=True):
            scores = member.matrix(queries, texts, wanted)
            total += share * (min_max(scores, wanted, c.epsilon) if c.normalise == "minmax" else scores)
        return np.where(wanted, c.score_scale * total, 0.0).astype(np.float32)


def min_max(scores: NDArray[np.float32], wanted: NDArray[np.bool_], epsilon: float) -> NDArray[np.float64]:
    """Return (s - min) / (max - min + ε) over the wanted scores of each row; equal ones become 0."""
    made = scores.astype(np.float64)
    low = np.where(wanted, made, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(wanted, made, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    with np.errstate(invalid="ignore"):  # a row without a candidate
        return np.where(wanted, (made - low) / (high - low + epsilon), 0.0)


def _kind(context: Context, expression: str) -> str:
    try:
        context.bind("encode", expression)
    except UsageError:
        try:
            context.bind("rerank", expression)
        except UsageError as error:
            raise UsageError(
                f"a teacher is an encoder or a reranker, and {expression!r} is neither: {error}"
            ) from error
        return "rerank"
    return "encode"

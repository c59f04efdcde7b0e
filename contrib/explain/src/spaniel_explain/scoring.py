"""The score of altered texts, for every stage that has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Document, Queries, UsageError
from spaniel.config import Config, references
from spaniel.protocols import Retriever, Scorer

if TYPE_CHECKING:
    from spaniel import Context, Expression
    from spaniel.data import DenseVectors, MultiVectors, SparseVectors, Vectors
    from spaniel.protocols import Encoder

Scores = NDArray[np.float64]
COMPARED = ("dense", "sparse", "multi-vector")
"""Representations whose similarity is a score."""


class TextScorer(Protocol):
    """The score of a stage as a function of the texts.

    Attributes:
        sides: the texts that may be altered.
    """

    sides: tuple[str, ...]

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document: ``(queries, rows)``."""
        ...

    def vary_document(self, query: str, document: Document, texts: Sequence[str]) -> Scores:
        """Score a query with one document's altered contents: ``(texts,)``."""
        ...


class Pairs:
    """Scores of a pointwise reranker: its own, not weighed against an earlier stage."""

    sides: tuple[str, ...] = ("query", "document")

    def __init__(self, target: Scorer) -> None:
        self.target = target

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        texts = corpus.contents(rows)
        asked = [query for query in queries for _ in texts]
        return self._score(asked, texts * len(queries)).reshape(len(queries), len(texts))

    def vary_document(self, query: str, document: Document, texts: Sequence[str]) -> Scores:
        """Score a query with altered contents."""
        return self._score([query] * len(texts), texts)

    def _score(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        # A reranker that keeps its scores has a model below that does not: nobody asks for altered texts again.
        model = getattr(self.target, "model", None)
        scorer: Any = model if callable(getattr(model, "score", None)) else self.target
        return np.asarray(scorer.score(queries, texts), np.float64)


class Encoded:
    """Similarities of what an encoder makes of both texts."""

    sides: tuple[str, ...] = ("query", "document")

    def __init__(self, context: Context, encoder: Expression, name: str) -> None:
        self.context, self.expression, self.name = context, encoder, name

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        return cast("Encoder", self.context.create("encode", self.expression))

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Encode queries."""
        return self.encoder.encode(texts, "query")[self.name]

    def documents(self, documents: Sequence[Document]) -> Vectors:
        """Encode documents."""
        texts, metadata = [document.contents for document in documents], [document.metadata for document in documents]
        return self.encoder.encode(texts, "document", metadata)[self.name]

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        return similarities(self.queries(queries), self.documents(corpus.documents(rows)))

    def vary_document(self, query: str, document: Document, texts: Sequence[str]) -> Scores:
        """Score a query with altered contents."""
        altered = [document._replace(title="", text=text) for text in texts]
        scores: Scores = similarities(self.queries([query]), self.documents(altered))[0]
        return scores


class Listed:
    """Scores that a retriever gives to altered queries; a document that one does not find scores 0."""

    sides: tuple[str, ...] = ("query",)

    def __init__(self, target: Retriever, context: Context) -> None:
        self.target, self.context = target, context

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        for need in self.target.needs(corpus.need):
            self.context.obtain(need)
        run = self.target.retrieve(Queries.from_lists([f"q{i}" for i in range(len(queries))], queries), corpus, None)
        scores = np.zeros((len(queries), len(rows)))
        for column, row in enumerate(rows):
            found = np.flatnonzero(run.rows == row)
            scores[run.owners[found], column] = run.scores[found]
        return scores

    def vary_document(self, query: str, document: Document, texts: Sequence[str]) -> Scores:
        """Refuse: nobody knows what an index would say of altered documents."""
        raise UsageError("an index does not say what altered documents score: alter the query, as in side=query")


def scorer_of(context: Context, target: Any) -> TextScorer | None:
    """Return the score of a stage as a function of the texts, or ``None`` where it has none; loads no model."""
    if isinstance(target, Scorer):
        return Pairs(target)
    if not isinstance(target, Retriever):
        return None
    found = encoder_of(context, target)
    return Encoded(context, *found) if found is not None else Listed(target, context)


def encoder_of(context: Context, target: Any) -> tuple[Expression, str] | None:
    """Return the encoder that a stage's options name, and the representation that it asks of it."""
    config = getattr(target, "config", None)
    if not isinstance(config, Config):
        return None
    for field, demand in references(type(config)).items():
        expression = getattr(config, field)
        if demand.kinds == ("encode",) and expression is not None:
            given = context.bind("encode", expression).registered.component.gives
            name = demand.gives or (given[0] if len(given) == 1 else "")
            if name in COMPARED:
                return expression, name
    return None


def similarities(queries: Vectors, documents: Vectors) -> Scores:
    """Compare every query with every document: ``(queries, documents)``, inner products or MaxSim."""
    form = queries.form
    if form == "multi-vector":
        made = cast("MultiVectors", queries).maxsim(cast("MultiVectors", documents))
    elif form == "sparse":
        made = cast("SparseVectors", queries).dot(cast("SparseVectors", documents))
    else:
        made = cast("DenseVectors", queries).dot(cast("DenseVectors", documents))
    return made.astype(np.float64)

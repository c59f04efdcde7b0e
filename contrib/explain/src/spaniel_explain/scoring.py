"""The score of altered texts, for every stage that has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Document, Queries, Run, UsageError
from spaniel.config import Config, references
from spaniel.protocols import Reranker, Retriever, RowScorer, Scorer

if TYPE_CHECKING:
    from spaniel import Context, Expression
    from spaniel.data import DenseVectors, MultiVectors, SparseVectors, Vectors
    from spaniel.protocols import Encoder

Scores = NDArray[np.float64]
COMPARED = ("dense", "sparse", "multi-vector")
"""Representations whose similarity is a score."""


class TextScorer(Protocol):
    """The score of a stage as a function of the texts; what stood before the stage stays as it is.

    Attributes:
        sides: the texts that may be altered.
    """

    sides: tuple[str, ...]

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document: ``(queries, rows)``."""
        ...

    def vary_document(self, query: str, document: Document, texts: Sequence[str], corpus: Corpus) -> Scores:
        """Score a query with altered contents of one document of the corpus: ``(texts,)``."""
        ...


class _Scores:
    """Scores of any document."""

    sides: tuple[str, ...] = ("query",)

    def vary_document(self, query: str, document: Document, texts: Sequence[str], corpus: Corpus) -> Scores:
        """Refuse: nobody knows what an index would say of altered documents."""
        raise UsageError("an index does not say what altered documents score: alter the query, as in side=query")


class Pairs(_Scores):
    """Scores of a pointwise reranker: its own, not weighed against an earlier stage."""

    sides: tuple[str, ...] = ("query", "document")

    def __init__(self, target: Scorer) -> None:
        self.target = target

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        texts = corpus.contents(rows)
        asked = [query for query in queries for _ in texts]
        return self._score(asked, texts * len(queries)).reshape(len(queries), len(texts))

    def vary_document(self, query: str, document: Document, texts: Sequence[str], corpus: Corpus) -> Scores:
        """Score a query with altered contents."""
        return self._score([query] * len(texts), texts)

    def _score(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        # A reranker that keeps its scores has a model below that does not: nobody asks for altered texts again.
        model = getattr(self.target, "model", None)
        scorer: Any = model if callable(getattr(model, "score", None)) else self.target
        return np.asarray(scorer.score(queries, texts), np.float64)


class Encoded(_Scores):
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

    def vary_document(self, query: str, document: Document, texts: Sequence[str], corpus: Corpus) -> Scores:
        """Score a query with altered contents."""
        altered = [document._replace(title="", text=text) for text in texts]
        scores: Scores = similarities(self.queries([query]), self.documents(altered))[0]
        return scores


class Rows(_Scores):
    """Scores that a retriever gives to the documents that are explained, without a search."""

    def __init__(self, target: Any, context: Context, run: Run | None) -> None:
        self.target, self.context, self.run = target, context, run

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        asked, run = _asked(self.target, self.context, queries, corpus, self.run)
        return np.asarray(self.target.score_rows(asked, rows, corpus, run), np.float64)


class Listed(Rows):
    """Scores in the lists that a retriever makes of altered queries, as long as it can make them; others are 0.

    A fusion keeps the lists that it fuses: their lengths are part of its score.
    """

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        asked, run = _asked(self.target, self.context, queries, corpus, self.run)
        return _found(_uncut(self.target, self.context, len(corpus)).retrieve(asked, corpus, run), rows)


class Relisted(Rows):
    """Scores of a reranker that orders lists: always the list of the run before, with one of its texts altered."""

    def __init__(self, target: Any, context: Context, run: Run | None) -> None:
        super().__init__(target, context, run)
        # One that reads artifacts of the corpus knows no other documents.
        self.sides = ("query",) if hasattr(target, "needs") else ("query", "document")

    def vary_query(self, queries: Sequence[str], rows: Sequence[int], corpus: Corpus) -> Scores:
        """Score every query with every document."""
        asked, run = _asked(self.target, self.context, queries, corpus, self._listed)
        return _found(self.target.rerank(asked, run, corpus), rows)

    def vary_document(self, query: str, document: Document, texts: Sequence[str], corpus: Corpus) -> Scores:
        """Score a query with one document's altered contents, among the others of its list."""
        listed = np.unique(self._listed.rows)
        documents = corpus.documents(listed)
        # One corpus holds every version of the text. Ties are broken by ids: later rows have lower ones.
        names = [f"{len(listed) - at:09d}" for at in range(len(listed))]
        place = next(at for at, one in enumerate(documents) if one.id == document.id)
        versions = [f"{names[place]}.{number}" for number in range(len(texts))]
        altered = [document._replace(id=name, title="", text=text) for name, text in zip(versions, texts, strict=True)]
        small = Corpus.from_documents([d._replace(id=n) for d, n in zip(documents, names, strict=True)] + altered)
        own, others = small.rows(names), small.rows(versions)
        lists, at = np.tile(own, (len(texts), 1)), np.searchsorted(listed, self._listed.rows)
        lists[:, place] = others
        asked = Queries.from_lists(versions, [query] * len(texts))
        bounds = np.arange(len(texts) + 1) * len(at)
        run = Run.build(bounds, lists[:, at].ravel(), np.tile(self._listed.scores, len(texts)))
        return np.diagonal(_found(self.target.rerank(asked, run, small), others.tolist())).copy()

    @property
    def _listed(self) -> Run:
        if self.run is None:
            raise UsageError(f"{type(self.target).__name__} orders lists: it is explained behind another stage")
        return self.run


def _asked(
    target: Any, context: Context, texts: Sequence[str], corpus: Corpus, run: Run | None
) -> tuple[Queries, Run | None]:
    """Return altered texts as queries, each behind the same list, when what the target needs is there."""
    for need in target.needs(corpus.need) if hasattr(target, "needs") else ():
        context.obtain(need)
    queries = Queries.from_lists([f"q{number}" for number in range(len(texts))], texts)
    return queries, None if run is None else run.select([0] * len(texts))


def _found(run: Run, rows: Sequence[int]) -> Scores:
    """Return the scores of documents in each list, ``(lists, rows)``; 0 where a list lacks one."""
    scores = np.zeros((len(run), len(rows)))
    for column, row in enumerate(rows):
        found = np.flatnonzero(run.rows == row)
        scores[run.owners[found], column] = run.scores[found]
    return scores


def _uncut(target: Any, context: Context, documents: int) -> Any:
    """Return a retriever that lists all documents; a fusion's ``k`` is none of the kind."""
    config = getattr(target, "config", None)
    if not isinstance(config, Config) or config.inputs_field or type(getattr(config, "k", None)) is not int:
        return target
    # Whether a filter lets a document through does not hang on its score.
    changes = {"k": max(documents, 1)} | ({"filter": None} if hasattr(config, "filter") else {})
    return type(target)(config.model_copy(update=changes), context)


def scorer_of(context: Context, target: Any, run: Run | None = None) -> TextScorer | None:
    """Return the score of a stage as a function of the texts, or ``None`` where it has none; loads no model.

    Args:
        context: the session.
        target: the stage's object.
        run: the list before the stage, which stays as it is whatever becomes of the texts.
    """
    if isinstance(target, Scorer):
        return Pairs(target)
    if isinstance(target, RowScorer):
        return Rows(target, context, run)
    if isinstance(target, Retriever):
        # What an encoder says of two texts is not the score of a stage that reads an earlier run as well.
        found = encoder_of(context, target) if run is None else None
        return Encoded(context, *found) if found is not None else Listed(target, context, run)
    return Relisted(target, context, run) if isinstance(target, Reranker) else None


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

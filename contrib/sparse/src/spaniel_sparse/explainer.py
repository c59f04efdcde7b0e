"""What each term adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Explanation, PluginError, Queries
from spaniel.data import SparseVectors
from spaniel.encoding import encode_queries, open_named
from spaniel.explanation import Spot

from spaniel_sparse.retriever import SparseRetriever
from spaniel_sparse.spans import TermSpan

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Role

Spans: TypeAlias = dict[int, list[TermSpan]]
Weights: TypeAlias = Callable[[NDArray[np.int32], int], NDArray[np.float64]]


class SparseTerms:
    """Exact: a score is the sum, over terms, of weight in the query times weight in the document.

    An index that stores other weights than it was given (8-bit ones) says which by a method ``weights(terms, row)``. Terms
    are called as the encoder's method ``names(terms)`` says, or by the whole words that they are pieces of, and have the
    places that its method ``spans(text, role)`` returns.
    """

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(
        self, target: SparseRetriever, query: str, rows: Sequence[int], corpus: Corpus
    ) -> Sequence[Explanation]:
        """Explain the scores of documents for a query."""
        if not len(rows):
            return []
        stage = target.config.encoder
        encoder = self.context.create("encode", stage)
        asked = encode_queries(self.context, stage, Queries.from_lists(["query"], [query]))["sparse"]
        if not isinstance(asked, SparseVectors):
            raise PluginError("spaniel-sparse", f"`{stage}` gives {asked.form} vectors under the name sparse")
        names = _names(encoder, asked.indices)
        weights = self._weights(target, corpus)
        mine = _spans(encoder, query, "query")
        made = []
        for row, document, text in zip(rows, corpus.ids(rows), corpus.contents(rows), strict=True):
            held = weights(asked.indices, row)
            theirs = _spans(encoder, text, "document")
            parts = tuple(
                _part(int(asked.indices[at]), float(asked.values[at]), float(held[at]), names[at], mine, theirs)
                for at in np.flatnonzero(held)
            )
            total = float(sum(part.score for part in parts))
            made.append(Explanation("sparse", "sparse-terms", query, document, total, parts))
        return made

    def _weights(self, target: SparseRetriever, corpus: Corpus) -> Weights:
        """Return what says the weights of terms in a document: the index, or the vectors that it was made of."""
        stored: Weights | None = getattr(target.index(corpus), "weights", None)
        if stored is not None:
            return stored
        vectors = open_named(self.context, self.context.obtain(target.vectors(corpus.need)), "sparse")
        if not isinstance(vectors, SparseVectors):
            raise PluginError("spaniel-sparse", f"the vectors of documents are {vectors.form}, not sparse")
        return lambda terms, row: _weights(vectors[row : row + 1], terms)


def _part(term: int, asked: float, held: float, name: str, mine: Spans, theirs: Spans) -> Contribution:
    here, there = mine.get(term, []), theirs.get(term, [])
    words = [span.word for span in (*here, *there)]
    label = words[0] if words else name.removeprefix("##")
    added = {(True, False): "the query", (False, True): "the document", (True, True): "both"}.get((not here, not there))
    said = [f"{asked:.3f} × {held:.3f}"]
    if label.casefold() != name.casefold():
        said.append(f"piece {name}")
    if added is not None and (mine or theirs):
        said.append(f"added to {added}")
    query: list[Spot] = [("query", span.start, span.end) for span in here]
    document: list[Spot] = [("document", span.start, span.end) for span in there]
    return Contribution(label, asked * held, "term", note="; ".join(said), places=(*query, *document))


def _spans(encoder: Any, text: str, role: Role) -> Spans:
    tell = getattr(encoder, "spans", None)
    found: Spans = {}
    for span in tell(text, role) if callable(tell) else ():
        found.setdefault(span.term, []).append(span)
    return found


def _names(encoder: Any, terms: NDArray[np.int32]) -> list[str]:
    names = getattr(encoder, "names", None)
    return list(names(terms)) if names is not None else [f"term {term}" for term in terms]


def _weights(vector: SparseVectors, terms: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the weights of terms in one vector, 0 where it lacks one."""
    whole = np.zeros(vector.width, np.float64)
    whole[vector.indices] = vector.values
    return whole[terms]

"""A table of word vectors as an encoder, trained in full batches: what training on a collection can do (section 5.5).

A text is the mean of its words' vectors, scaled to length 1. Small enough to be trained to the end in seconds, and able
to overfit: whether the task can be solved in a dimension, and whether solving one collection helps on another, are
questions of the judgments, not of the model's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from spaniel_text.segments import find_words

from spaniel_limit.free import Adam, InfoNce
from spaniel_limit.ranking import Wanted

Floats = NDArray[np.float32]


class Examples(NamedTuple):
    """A collection as bags of words.

    Attributes:
        queries: texts.
        documents: texts.
        sets: ``(queries, k)``, rows of the relevant documents.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    sets: NDArray[np.int64]


def vocabulary(*texts: Sequence[str]) -> dict[str, int]:
    """Return the words of texts with numbers, in the order in which they come."""
    found: dict[str, int] = {}
    for several in texts:
        for text in several:
            for word in find_words(text):
                found.setdefault(word, len(found))
    return found


class TableEncoder:
    """A vector a word, drawn at random at first.

    Args:
        words: word → its number.
        dimensions: of the vectors.
        seed: of the first vectors.
    """

    def __init__(self, words: Mapping[str, int], dimensions: int, seed: int) -> None:
        self.words = words
        self.table = np.random.default_rng(seed).standard_normal((len(words), dimensions)).astype(np.float32)

    def bags(self, texts: Sequence[str]) -> Any:
        """Return texts as the weights of their words, ``(texts, words)`` sparse; words it does not know are passed over."""
        numbers = [[self.words[w] for w in find_words(text) if w in self.words] for text in texts]
        lengths = [len(line) for line in numbers]
        weights = np.repeat([1 / max(1, length) for length in lengths], lengths).astype(np.float32)
        columns = np.array([word for line in numbers for word in line], np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return csr_matrix((weights, columns, offsets), shape=(len(texts), len(self.words)))

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return vectors of length 1: ``(texts, dimensions)``."""
        return _unit(self.bags(texts) @ self.table)[0]

    def train(
        self,
        examples: Examples,
        steps: int,
        lr: float = 0.05,
        temperature: float = 0.1,
        advance: Callable[[int], None] = lambda done: None,
    ) -> float:
        """Train on the loss of the free embeddings by Adam; return the last loss."""
        queries, documents = self.bags(examples.queries), self.bags(examples.documents)
        loss = InfoNce(Wanted.from_sets(examples.sets), len(examples.documents), temperature)
        adam = Adam(self.table, lr)
        count, value = len(examples.queries), 0.0
        gradient = np.empty((count + len(examples.documents), self.table.shape[1]), np.float32)
        for _ in range(steps):
            (asked, long), (held, wide) = _unit(queries @ self.table), _unit(documents @ self.table)
            value = loss(asked, held, gradient)
            change = queries.T @ _through(gradient[:count], asked, long)
            change += documents.T @ _through(gradient[count:], held, wide)
            adam.step(self.table, np.ascontiguousarray(change, np.float32))
            advance(1)
        return value


def _unit(vectors: Floats) -> tuple[Floats, Floats]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths = np.maximum(lengths, np.float32(1e-30))
    return vectors / lengths, lengths


def _through(gradient: Floats, unit: Floats, lengths: Floats) -> Floats:
    """Return the gradient of vectors before they were scaled to length 1."""
    made: Floats = (gradient - (gradient * unit).sum(axis=1, keepdims=True) * unit) / lengths
    return made

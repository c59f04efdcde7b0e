"""What feedback asks of an index of texts, beyond searching it; the indexes of this distribution all offer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from spaniel import Run

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer


@dataclass(frozen=True, eq=False)
class Weighted:
    """Queries as tokens with weights.

    Attributes:
        offsets: ``(queries + 1,)`` int64; the tokens of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        tokens: of all queries; none comes twice in one.
        weights: ``(len(tokens),)`` float64, 0 or more.
    """

    offsets: NDArray[np.int64]
    tokens: Sequence[str]
    weights: NDArray[np.float64]


@runtime_checkable
class LexicalIndex(Protocol):
    """An index of tokens."""

    @property
    def analyzer(self) -> Analyzer:
        """What turned documents into tokens."""
        ...

    def __len__(self) -> int:
        """Number of documents."""
        ...

    def document_frequencies(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """Return how many documents hold each token, ``(len(tokens),)``; 0 for one that is unknown."""
        ...

    def search_weighted(self, queries: Weighted, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best documents of queries, each token's score multiplied by its weight."""
        ...

    def term_scores(self, tokens: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        """Return what each token adds to the score of each document, without a search: ``(tokens, rows)``."""
        ...


@runtime_checkable
class CountingIndex(LexicalIndex, Protocol):
    """A lexical index that knows how often each token occurs."""

    def collection_frequencies(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """Return how often each token occurs in all documents together, ``(len(tokens),)``."""
        ...

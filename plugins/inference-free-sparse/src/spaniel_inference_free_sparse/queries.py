"""Queries → weights, by a tokenizer and a table: no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel.data import SparseVectors

from spaniel_inference_free_sparse.tokens import count_tokens, special_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_LENGTH = 512
"""Tokens after which a query is cut off."""


@dataclass(frozen=True, eq=False)
class QueryTable:
    """A weight for each token of a vocabulary.

    Attributes:
        tokenizer: see :func:`spaniel_inference_free_sparse.tokens.read_tokenizer`.
        weights: ``(vocabulary,)`` float32; negative ones count as 0, and special tokens have none.
        binary: whether a repeated token counts once.
    """

    tokenizer: Tokenizer
    weights: NDArray[np.float32]
    binary: bool = True

    def __post_init__(self) -> None:
        weights = np.maximum(self.weights, 0).astype(np.float32)
        special = special_tokens(self.tokenizer)
        weights[special[special < len(weights)]] = 0
        object.__setattr__(self, "weights", weights)

    def encode(self, texts: Sequence[str], max_length: int = MAX_LENGTH) -> SparseVectors:
        """Return one vector a text: the weight of each of its tokens; an empty text has none."""
        offsets, tokens, counts = count_tokens(self.tokenizer, texts, max_length)
        values = self.weights[tokens] * (1 if self.binary else counts)
        return keep(
            SparseVectors(offsets, tokens.astype(np.int32), values.astype(np.float32), len(self.weights)), values > 0
        )


def prune(vectors: SparseVectors, ratio: float) -> SparseVectors:
    """Return the weights that are above a share of the greatest of their vector."""
    lengths = np.diff(vectors.indptr)
    held = np.flatnonzero(lengths)
    greatest = np.zeros(len(vectors), np.float32)
    if len(held):
        greatest[held] = np.maximum.reduceat(vectors.values, vectors.indptr[held])
    return keep(vectors, vectors.values > np.float32(ratio) * np.repeat(greatest, lengths))


def keep(vectors: SparseVectors, kept: NDArray[np.bool_]) -> SparseVectors:
    """Return vectors with those entries alone that ``kept``, ``(entries,)``, names."""
    indptr = np.concatenate([[0], np.cumsum(kept)])[vectors.indptr]
    return SparseVectors(
        indptr.astype(np.int64), vectors.indices[kept], vectors.values[kept], vectors.width, vectors.metric
    )

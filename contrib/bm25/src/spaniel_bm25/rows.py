"""Scores of documents that are named, without a search: what explanations ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spaniel_bm25.lexical import LexicalIndex, Weighted


def score_texts(index: LexicalIndex, queries: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
    """Return the scores of documents for texts: ``(queries, rows)``; a token that is asked for twice counts twice."""
    tokens = index.analyzer.analyze(queries)
    added = index.term_scores(tokens.vocabulary, rows)
    return _summed(tokens.offsets, added[tokens.ids] if len(tokens.ids) else np.zeros((0, len(rows))))


def score_weighted(index: LexicalIndex, queries: Weighted, rows: Sequence[int]) -> NDArray[np.float64]:
    """Return the scores of documents for weighted tokens: ``(queries, rows)``."""
    vocabulary = list(dict.fromkeys(queries.tokens))
    place = {token: number for number, token in enumerate(vocabulary)}
    added = index.term_scores(vocabulary, rows)[[place[token] for token in queries.tokens]]
    return _summed(queries.offsets, added.reshape(-1, len(rows)) * queries.weights[:, None])


def _summed(offsets: NDArray[np.int64], added: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.concatenate([np.zeros((1, added.shape[1])), np.cumsum(added, axis=0)])
    made: NDArray[np.float64] = sums[offsets[1:]] - sums[offsets[:-1]]
    return made

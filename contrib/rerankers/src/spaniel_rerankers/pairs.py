"""Pairs of texts → the outputs of a model for sequence classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel_neural.batching import run_batches, tokenize
from spaniel_neural.loading import Transformer


class PairScores(NamedTuple):
    """What a model said, ``(pairs, labels)`` float32, and what it took: batches, and tokens without padding."""

    logits: NDArray[np.float32]
    calls: int
    tokens: int


def score_pairs(
    transformer: Transformer,
    queries: Sequence[str],
    texts: Sequence[str],
    max_length: int | None,
    batch_size: int | None = None,
) -> PairScores:
    """Run a model over pairs in batches of like length; none changes another's output beyond rounding.

    Args:
        max_length: tokens after which a pair together is cut off, the longer text first.
        batch_size: pairs of a batch at most.
    """
    tokens = tokenize(transformer.tokenizer, queries, texts, max_length=max_length)
    logits, calls = run_batches(transformer, tokens, lambda output, batch: output.logits, batch_size)
    labels = int(transformer.model.config.num_labels)
    return PairScores(logits if calls else np.zeros((len(texts), labels), np.float32), calls, len(tokens.ids))

"""A transformer with pooling, run in batches of texts of like length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel_neural.batching import run_batches, tokenize
from spaniel_neural.loading import load_for
from spaniel_neural.pooling import pool

from spaniel_dense.config import SentenceEncoderConfig
from spaniel_dense.layout import Layout

if TYPE_CHECKING:
    from spaniel import Context


class PooledTransformer:
    """Runs a model whose vectors are pooled from a transformer's last layer.

    Raises:
        UsageError: the folder's model cannot be loaded, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: SentenceEncoderConfig, context: Context) -> None:
        self.context = context
        self.pooling = layout.pooling if config.pooling == "auto" else config.pooling
        self.lowercase = layout.lowercase
        self.transformer = load_for(context, layout.transformer, dtype=config.dtype)
        self.max_length = self.transformer.max_length(config.max_length, layout.max_length)

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return self.transformer.hidden_size

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> NDArray[np.float32]:
        """Return one vector a text, ``(texts, dimensions)``; a text without a single token gets zeros."""
        prompted = [(prompt + text).lower() if self.lowercase else prompt + text for text in texts]
        tokens = tokenize(self.transformer.tokenizer, prompted, max_length=self.max_length)
        vectors, calls = run_batches(
            self.transformer,
            tokens,
            lambda output, batch: pool(output.last_hidden_state.float(), batch.lengths, self.pooling),
            self.context.batch_size,
        )
        self.context.count("model calls", calls)
        self.context.count("tokens", len(tokens.ids))
        return vectors if calls else np.zeros((len(texts), self.dimensions), np.float32)

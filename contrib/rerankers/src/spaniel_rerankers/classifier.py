"""A sequence classification as a scorer of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel_neural.loading import load_for
from torch import Tensor

from spaniel_rerankers.config import CrossEncoderConfig
from spaniel_rerankers.layout import Layout
from spaniel_rerankers.pairs import score_pairs

if TYPE_CHECKING:
    from spaniel import Context

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda logits: logits,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda logits: torch.softmax(logits, dim=1),
}


class Classifier:
    """Runs a model for sequence classification.

    Raises:
        UsageError: the folder's model cannot be loaded, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: CrossEncoderConfig, context: Context) -> None:
        self.context = context
        self.label = layout.label(config.label)
        self.activation = ACTIVATIONS[layout.activation if config.activation == "auto" else config.activation]
        self.prompt = layout.prompt(config.prompt)
        self.transformer = load_for(context, layout.folder, "sequence-classification", dtype=config.dtype)
        self.max_length = self.transformer.max_length(config.max_length, layout.max_length)

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Score pairs: ``(n,)`` float32."""
        prompted = [self.prompt + query for query in queries] if self.prompt else queries
        made = score_pairs(self.transformer, prompted, texts, self.max_length, self.context.batch_size)
        self.context.count("model calls", made.calls)
        self.context.count("tokens", made.tokens)
        scores: NDArray[np.float32] = self.activation(torch.from_numpy(made.logits))[:, self.label].numpy()
        return scores

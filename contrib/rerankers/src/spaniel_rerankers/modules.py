"""Cross-encoders of other modules (a language model's yes and no, chat templates …), run by sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.devices import autocast, choose_device
from spaniel_neural.modular import BATCH, load_modular

from spaniel_rerankers.classifier import ACTIVATIONS
from spaniel_rerankers.config import CrossEncoderConfig
from spaniel_rerankers.layout import Layout

if TYPE_CHECKING:
    from spaniel import Context


class ModularCrossEncoder:
    """Runs a ``CrossEncoder`` folder whole.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load the folder, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: CrossEncoderConfig, context: Context) -> None:
        self.context = context
        self.device, self.dtype = choose_device(context.device), config.dtype
        self.prompt = layout.prompt(config.prompt)
        self.model: Any = load_modular(
            "CrossEncoder", layout.folder, self.device, self.dtype, config.max_length, "spaniel-rerankers"
        )
        if self.model.num_labels != 1 or config.activation == "softmax":
            raise UsageError(f"{layout.folder} must give one score a pair, and takes no softmax")
        self.activation = None if config.activation == "auto" else ACTIVATIONS[config.activation]

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Score pairs: ``(n,)`` float32."""
        size = self.context.batch_size or BATCH
        with autocast(self.device, self.dtype):
            made = self.model.predict(
                list(zip(queries, texts, strict=True)),
                prompt=self.prompt or None,
                batch_size=size,
                activation_fn=self.activation,
                show_progress_bar=False,
            )
        self.context.count("model calls", -(-len(texts) // size))
        return np.asarray(made, np.float32)

"""Sparse encoders of other modules (routers, static embeddings of an inference-free query side …), run by
sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from spaniel import UsageError
from spaniel.data import SparseVectors
from spaniel_neural.devices import autocast, choose_device
from spaniel_neural.modular import BATCH, load_modular

from spaniel_sparse.config import SpladeConfig
from spaniel_sparse.layout import Layout
from spaniel_sparse.pruning import join_rows, keep_greatest

if TYPE_CHECKING:
    from spaniel import Context


class ModularEncoder:
    """Runs a ``SparseEncoder`` folder whole.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load the folder, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: SpladeConfig, context: Context) -> None:
        if config.pooling != "auto":
            raise UsageError(f"pooling={config.pooling}: {config.model} has modules of its own; leave it at auto")
        self.context = context
        self.device, self.dtype = choose_device(context.device), config.dtype
        self.model: Any = load_modular(
            "SparseEncoder", layout.folder, self.device, self.dtype, config.max_length, "spaniel-sparse"
        )

    @property
    def width(self) -> int:
        """Size of the vocabulary."""
        return int(self.model.get_embedding_dimension())

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, which knows the names of terms."""
        return self.model.tokenizer

    def embed(self, texts: Sequence[str], role: str, keep: int | None) -> SparseVectors:
        """Return one vector a text; see :meth:`spaniel_sparse.vocabulary.PooledVocabulary.embed`."""
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        size = self.context.batch_size or BATCH
        made = []
        for start in range(0, len(texts), size):
            part = list(texts[start : start + size])
            with torch.inference_mode(), autocast(self.device, self.dtype):
                weights = encode(
                    part, prompt="", batch_size=size, show_progress_bar=False, convert_to_sparse_tensor=False
                )
            made.append(keep_greatest(weights.relu(), np.arange(start, start + len(part)), keep))
        self.context.count("model calls", len(made))
        return join_rows(made, len(texts), self.width)

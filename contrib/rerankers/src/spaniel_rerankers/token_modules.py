"""Multi-vector encoders of other modules, and those that PyLate and Stanford's ColBERT wrote, run by
sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import UsageError
from spaniel.data import MultiVectors
from spaniel_neural.devices import autocast, choose_device
from spaniel_neural.modular import BATCH, load_modular

from spaniel_rerankers.config import TokenEncoderConfig
from spaniel_rerankers.token_layout import TokenLayout

if TYPE_CHECKING:
    from spaniel import Context


class ModularTokenEncoder:
    """Runs a ``MultiVectorEncoder`` folder whole.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load the folder, or an option does not suit it.
    """

    def __init__(self, layout: TokenLayout, config: TokenEncoderConfig, context: Context) -> None:
        for name in ("query_length", "skip_punctuation"):
            if getattr(config, name) != "auto":
                raise UsageError(f"{name}={getattr(config, name)}: {config.model} has its own ways; leave it at auto")
        self.context = context
        self.precision = np.dtype(config.precision)
        self.device, self.dtype = choose_device(context.device), config.dtype
        self.model: Any = load_modular(
            "MultiVectorEncoder", layout.folder, self.device, self.dtype, config.max_length, "spaniel-rerankers"
        )
        self.given = (config.prompt_query is not None, config.prompt_document is not None)
        self.normalize = None if config.normalize == "auto" else config.normalize

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> MultiVectors:
        """Return the vectors of each text; see :meth:`spaniel_rerankers.token_transformer.TokenTransformer.embed`."""
        is_query = role == "query"
        encode = self.model.encode_query if is_query else self.model.encode_document
        size = self.context.batch_size or BATCH
        # A prompt that older layouts keep elsewhere is the library's to find.
        asked = {"prompt": prompt} if self.given[0 if is_query else 1] else {}
        with autocast(self.device, self.dtype):
            # One text beside the others shows the width where there are none.
            made = encode([*texts, "a"], batch_size=size, show_progress_bar=False, **asked)[:]
        arrays = [np.asarray(one.float().cpu() if hasattr(one, "cpu") else one, np.float32) for one in made]
        if self.normalize:
            arrays = [one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in arrays]
        self.context.count("model calls", -(-len(texts) // size))
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in arrays[:-1]])]).astype(np.int64)
        values = np.concatenate([arrays[-1][:0], *arrays[:-1]]).astype(self.precision)
        unit = bool(np.allclose(np.linalg.norm(arrays[-1], axis=1), 1, atol=1e-2))
        return MultiVectors(offsets, values, "cosine" if unit else "dot")

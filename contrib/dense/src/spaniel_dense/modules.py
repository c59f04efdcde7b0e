"""Models with modules of their own (dense layers, routers, static embeddings …), run by sentence-transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.devices import autocast, choose_device
from spaniel_neural.modular import BATCH, load_modular

from spaniel_dense.config import SentenceEncoderConfig
from spaniel_dense.layout import Layout

if TYPE_CHECKING:
    from spaniel import Context


class ModularTransformer:
    """Runs a folder of modules whole.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load the folder, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: SentenceEncoderConfig, context: Context) -> None:
        if config.pooling != "auto":
            raise UsageError(f"pooling={config.pooling}: {config.model} has modules of its own; leave it at auto")
        self.context = context
        self.device, self.dtype = choose_device(context.device), config.dtype
        self.model: Any = load_modular(
            "SentenceTransformer", layout.folder, self.device, self.dtype, config.max_length, "spaniel-dense"
        )
        # The library tells nothing of its batches; each leaves through the last module.
        self.model[-1].register_forward_hook(lambda module, given, made: self._tell(made))

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return int(self.model.get_embedding_dimension())

    def _tell(self, made: Mapping[str, Any]) -> None:
        self.context.finished(len(made["sentence_embedding"]))

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> NDArray[np.float32]:
        """Return one vector a text, ``(texts, dimensions)``."""
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        size = self.context.batch_size or BATCH
        with autocast(self.device, self.dtype):
            made = encode(list(texts), prompt=prompt, batch_size=size, show_progress_bar=False, convert_to_tensor=True)
        self.context.count("model calls", -(-len(texts) // size))
        vectors: NDArray[np.float32] = made.float().cpu().numpy()
        return vectors

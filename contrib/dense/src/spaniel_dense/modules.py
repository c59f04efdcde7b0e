"""Models with modules of their own (dense layers, routers, static embeddings …), run by sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from spaniel import UsageError
from spaniel_neural.devices import autocast, choose_device, weights_dtype

from spaniel_dense.config import SentenceEncoderConfig
from spaniel_dense.layout import Layout

if TYPE_CHECKING:
    from spaniel import Context

BATCH = 32
"""Texts in a batch where the session leaves it open."""


class ModularTransformer:
    """Runs a folder of modules whole.

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load the folder, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: SentenceEncoderConfig, context: Context) -> None:
        if config.pooling != "auto":
            raise UsageError(f"pooling={config.pooling}: {config.model} has modules of its own; leave it at auto")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise UsageError(
                f"{config.model} has modules that sentence-transformers runs: "
                'pip install "spaniel-dense[sentence-transformers]"'
            ) from error
        self.context = context
        self.device, self.dtype = choose_device(context.device), config.dtype
        try:
            self.model: Any = SentenceTransformer(
                str(layout.folder),
                device=str(self.device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": weights_dtype(self.device, self.dtype)},
            ).eval()
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UsageError(f"the model in {layout.folder} cannot be loaded: {reason}") from error
        if config.max_length is not None:
            self.model.max_seq_length = config.max_length

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return int(self.model.get_embedding_dimension())

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

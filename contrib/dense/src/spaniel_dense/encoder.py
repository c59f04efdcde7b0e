"""Texts → dense vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import DenseVectors
from spaniel.observe import loaded_property
from spaniel_neural.prompted import PromptedEncoder

from spaniel_dense.config import SentenceEncoderConfig
from spaniel_dense.layout import Layout, read_layout

if TYPE_CHECKING:
    from spaniel.protocols import Role

_TINY = np.float32(1e-12)


class Model(Protocol):
    """What runs the model."""

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> NDArray[np.float32]: ...


class SentenceEncoder(PromptedEncoder[Layout]):
    """One float32 vector a text, as sentence-transformers makes it."""

    form = "dense"
    config: SentenceEncoderConfig

    def read(self, folder: Path) -> Layout:
        """Read what a folder says about its model."""
        return read_layout(folder)

    @loaded_property
    def model(self) -> Model:
        """The model itself, loaded on first use."""
        if self.layout.is_plain:
            from spaniel_dense.transformer import PooledTransformer

            return cast(Model, PooledTransformer(self.layout, self.config, self.context))
        from spaniel_dense.modules import ModularTransformer

        return cast(Model, ModularTransformer(self.layout, self.config, self.context))

    def embed(self, texts: Sequence[str], prompt: str, role: Role) -> DenseVectors:
        """Return the vectors of distinct texts, each read with the prompt before it."""
        made = self._finish(self.model.embed(texts, prompt, role))
        return DenseVectors(made, "cosine" if self._normalizes else "dot")

    def _finish(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        keep = self.config.dimensions
        if keep is not None and keep > self.model.dimensions:
            raise UsageError(f"dimensions={keep}: {self.config.model} gives {self.model.dimensions}")
        vectors = vectors[:, :keep]
        if self._normalizes:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
        return np.ascontiguousarray(vectors)

    @property
    def _normalizes(self) -> bool:
        if self.config.normalize != "auto":
            return self.config.normalize
        if self.layout.metric not in ("cosine", "dot"):
            raise UsageError(
                f"{self.config.model} compares vectors by {self.layout.metric}, which Spaniel does not: "
                "choose normalize=true (cosine) or normalize=false (inner product)"
            )
        return self.layout.normalizes or self.layout.metric == "cosine"

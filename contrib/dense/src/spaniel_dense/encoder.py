"""Texts → dense vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import DenseVectors
from spaniel_neural.locating import download_model, find_model
from spaniel_neural.texts import distinct

from spaniel_dense.config import SentenceEncoderConfig
from spaniel_dense.layout import Layout, read_layout

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Metadata, Role

_TINY = np.float32(1e-12)


class Model(Protocol):
    """What runs the model."""

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> NDArray[np.float32]: ...


class SentenceEncoder:
    """One vector a text, as sentence-transformers makes it; texts that come several times are encoded once."""

    def __init__(self, config: SentenceEncoderConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def layout(self) -> Layout:
        """What the model's folder says; fetched from the hub where this machine lacks it."""
        return read_layout(download_model(self.config.model, self.config.revision, self.context.offline))

    @cached_property
    def model(self) -> Model:
        """The model itself, loaded on first use."""
        if self.layout.is_plain:
            from spaniel_dense.transformer import PooledTransformer

            return cast(Model, PooledTransformer(self.layout, self.config, self.context))
        from spaniel_dense.modules import ModularTransformer

        return cast(Model, ModularTransformer(self.layout, self.config, self.context))

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Return the digest of weights, tokenizer and settings, and the role's prompt.

        A model that has not been fetched yet is known by its name and revision; nothing is fetched to plan.
        """
        folder = find_model(self.config.model, self.config.revision)
        prompt = self._given_prompt(role)
        if folder is None:
            known = {"model": f"{self.config.model}@{self.config.revision or 'main'}"}
        else:
            layout = read_layout(folder)
            known, prompt = {"model": layout.digest(self.context.store)}, layout.prompt(role, prompt)
        return {**known, "prompt": prompt} if prompt else known

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, DenseVectors]:
        """Return one float32 vector a text, under the name ``dense``."""
        own, places = distinct(texts)
        prompt = self.layout.prompt(role, self._given_prompt(role))
        made = self._finish(self.model.embed(own, prompt, role))
        self.context.count("texts encoded", len(own))
        if len(own) < len(texts):
            made = made[places]
        return {"dense": DenseVectors(made, "cosine" if self._normalizes else "dot")}

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

    def _given_prompt(self, role: Role) -> str | None:
        return self.config.prompt_query if role == "query" else self.config.prompt_document

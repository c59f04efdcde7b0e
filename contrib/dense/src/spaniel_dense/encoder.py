"""Encoders on sentence-transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import UsageError
from spaniel.data import DenseVectors
from spaniel.protocols import Metadata, Role

from spaniel_dense.config import SentenceTransformer as Options
from spaniel_dense.models import find_model, model_digest

if TYPE_CHECKING:
    from spaniel import Context

BATCH = 32


class SentenceEncoder:
    """One vector a text, the same that sentence-transformers gives for the model."""

    def __init__(self, config: Options, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def folder(self) -> Path:
        """The model's folder."""
        return find_model(self.config.model, self.config.revision, self.context.offline)

    @cached_property
    def model(self) -> Any:
        """The model, loaded: weights in safetensors alone, no code of others."""
        with self.context.stage(f"load {self.config.model}", phase="load"):
            return self._load()

    def _load(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        config = self.config
        weights = {"dtype": getattr(torch, config.dtype), "use_safetensors": True}
        settings: dict[str, Any] = {
            "device": None if self.context.device == "auto" else self.context.device,
            "local_files_only": True,
            "truncate_dim": config.dimensions,
        }
        if config.pooling == "auto":
            model = SentenceTransformer(str(self.folder), model_kwargs=weights, **settings)
        else:
            from sentence_transformers.models import Pooling, Transformer

            transformer = Transformer(str(self.folder), model_args={**weights, "local_files_only": True})
            pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode=config.pooling)
            model = SentenceTransformer(modules=[transformer, pooling], **settings)
        if config.max_length is not None:
            model.max_seq_length = config.max_length
        return model.eval()

    @cached_property
    def _normalizes(self) -> bool:
        if self.config.normalize is not None:
            return self.config.normalize
        return str(self.model.similarity_fn_name) == "cosine"

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Digest of weights, tokenizer and pooling."""
        return {"model": model_digest(self.folder, self.context.store)}

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, DenseVectors]:
        """Return ``(texts, dimensions)`` float32; texts are batched by length, and come back in their order."""
        metric = "cosine" if self._normalizes else "dot"
        if not texts:
            size = self.model.get_embedding_dimension()
            return {"dense": DenseVectors(np.empty((0, int(size)), np.float32), metric)}  # type: ignore[arg-type]
        prompt = self.config.query_prompt if role == "query" else self.config.document_prompt
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        size = self.context.batch_size or BATCH
        values = encode(
            list(texts),
            prompt=prompt,
            batch_size=size,
            normalize_embeddings=self._normalizes,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        self.context.count("model calls", -(-len(texts) // size))
        self.context.count("texts encoded", len(texts))
        values = np.ascontiguousarray(values, dtype=np.float32)
        if np.isnan(values).any():
            raise UsageError(f"{self.config.model} gives vectors that are not numbers (NaN); try dtype=float32")
        return {"dense": DenseVectors(values, metric)}  # type: ignore[arg-type]

"""Bi-encoders and learned sparse encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context, UsageError
from torch import Tensor, nn
from torch.nn import functional

from spaniel_train.batch import Batch, Outputs
from spaniel_train.heads import pool_as_made
from spaniel_train.models import Trainee, refuse
from spaniel_train.protocols import Evaluates, Role
from spaniel_train.recipe import Model
from spaniel_train.trainees.folders import BATCH, finish, load_transformer_module, load_whole
from spaniel_train.trainees.texts import TextTrainee, of_groups


class EncoderTrainee(TextTrainee):
    """A bi-encoder or a sparse encoder: a vector a text."""

    def represented(self, features: dict[str, Any], role: Role) -> Tensor:
        """Return vectors, ``(texts, dimensions)``."""
        vectors: Tensor = self.model(features, task=role)["sentence_embedding"]
        return vectors.float()

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return scores by the model's own similarity."""
        return self.compared(representations[: len(batch)], representations[len(batch) :], batch)

    def compared(self, queries: Tensor, texts: Tensor, batch: Batch) -> Outputs:
        """Return scores of queries and texts by the model's own similarity."""
        matrix = self.scaled(queries) @ self.scaled(texts).T
        return Outputs(of_groups(matrix, batch), matrix, queries, texts)

    def scaled(self, vectors: Tensor) -> Tensor:
        """Return vectors whose products are the model's similarity."""
        return functional.normalize(vectors, dim=1) if self.model.similarity_fn_name == "cosine" else vectors

    def read(self, texts: Sequence[str], role: Role) -> Tensor:
        """Return vectors of texts, ``(texts, dimensions)``."""
        options: dict[str, Any] = {"batch_size": BATCH, "show_progress_bar": False, "convert_to_tensor": True}
        if type(self.model).__name__ == "SparseEncoder":
            options["convert_to_sparse_tensor"] = False
        vectors: Tensor = getattr(self.model, f"encode_{role}")(list(texts), **options)
        return self.scaled(vectors.float())

    def compare(self, queries: Any, documents: Any) -> NDArray[np.float32]:
        """Return the products."""
        made: NDArray[np.float32] = (queries @ documents.T).cpu().numpy()
        return made


class BiEncoderMaker:
    """Makes bi-encoders."""

    task = "encoder"
    gives = frozenset({"matrix", "vectors"})
    evaluates: frozenset[Evaluates] = frozenset({"search", "rerank"})

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context

    def check(self, spec: Model) -> None:
        """Check the encoder whose vectors documents have, where there is one."""
        if spec.documents is not None:
            self.context.bind("encode", spec.documents)

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load a folder of sentence-transformers, or one of transformers with a pooling behind it."""
        model = _load_bi_encoder(spec, folder)
        finish(spec, model)
        model.similarity_fn_name = (
            spec.similarity if spec.similarity != "auto" else model.similarity_fn_name or "cosine"
        )
        check_similarity(model)
        if spec.documents is not None:
            from spaniel_train.trainees.frozen import FrozenDocumentsTrainee

            return FrozenDocumentsTrainee(model, self.context, spec.documents)
        return EncoderTrainee(model)


class SparseMaker:
    """Makes learned sparse encoders."""

    task = "masked-lm"
    gives = frozenset({"matrix", "vectors"})
    evaluates: frozenset[Evaluates] = frozenset({"search", "rerank"})

    def __init__(self, config: Any, context: Context) -> None:
        pass

    def check(self, spec: Model) -> None:
        """Refuse what is for bi-encoders."""
        refuse(spec, "sparse encoder", "pooling", "similarity", "documents")

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load a folder of sentence-transformers, or a masked language model whose highest logits count (SPLADE-max)."""
        from sentence_transformers import SparseEncoder
        from sentence_transformers.sparse_encoder.modules import SpladePooling

        if (folder / "modules.json").is_file():
            model = load_whole("SparseEncoder", folder, "sparse encoder")
        else:
            transformer = load_transformer_module(folder, "sparse encoder", transformer_task="fill-mask")
            model = SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu")
        finish(spec, model)
        check_similarity(model)
        pool_as_made(model)
        return EncoderTrainee(model)


def check_similarity(model: Any) -> None:
    """Check that vectors are compared by products.

    Raises:
        UsageError: they are not.
    """
    if model.similarity_fn_name not in ("cosine", "dot"):
        raise UsageError(f"model: vectors are compared by {model.similarity_fn_name}; choose similarity: cosine or dot")


def _load_bi_encoder(spec: Model, folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    if (folder / "modules.json").is_file():
        return load_whole("SentenceTransformer", folder, "bi-encoder")
    transformer = load_transformer_module(folder, "bi-encoder")
    size = transformer.get_embedding_dimension()
    modules: list[nn.Module] = [transformer, Pooling(size, "mean" if spec.pooling == "auto" else spec.pooling)]
    if spec.similarity != "dot":
        modules.append(Normalize())
    return SentenceTransformer(modules=modules, device="cpu")

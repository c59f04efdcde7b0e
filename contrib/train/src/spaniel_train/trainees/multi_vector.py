"""Multi-vector encoders: a vector a token, compared by MaxSim."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context
from torch import Tensor, nn

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import MultiVectorConfig
from spaniel_train.models import Trainee, refuse
from spaniel_train.protocols import Evaluates, Role
from spaniel_train.recipe import Model
from spaniel_train.trainees.folders import BATCH, finish, load_transformer_module, load_whole
from spaniel_train.trainees.texts import TextTrainee, of_groups


class MultiVectorTrainee(TextTrainee):
    """A multi-vector encoder (Khattab and Zaharia, ColBERT, SIGIR 2020, equation 3).

    Its representation of a text is its token vectors with a last number beside each: 1 for a token that counts, else 0.
    """

    def represented(self, features: dict[str, Any], role: Role) -> Tensor:
        """Return token vectors, ``(texts, tokens, dimensions + 1)``."""
        output = self.model(features, task=role)
        counts = output["attention_mask"].bool()[:, :, None].float()
        return torch.cat([output["token_embeddings"].float() * counts, counts], dim=2)

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return sums over the query's tokens of the greatest product with a token of the text."""
        queries, asked = _cut(representations[: len(batch)])
        texts, told = _cut(representations[len(batch) :])
        matrix = self._maxsim(queries, texts, a_mask=asked, b_mask=told)
        return Outputs(of_groups(matrix, batch), matrix)

    def read(self, texts: Sequence[str], role: Role) -> Any:
        """Return token vectors, one tensor a text."""
        encode = getattr(self.model, f"encode_{role}")
        return encode(list(texts), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=False)

    def compare(self, queries: Any, documents: Any) -> NDArray[np.float32]:
        """Return the scores."""
        made: NDArray[np.float32] = self._maxsim(queries, documents).cpu().numpy()
        return made

    def _maxsim(self, queries: Any, texts: Any, **masks: Any) -> Tensor:
        from sentence_transformers.util.similarity import maxsim

        return maxsim(queries, texts, length_normalize=self.model.similarity_fn_name == "meanmaxsim", **masks)


class MultiVectorMaker:
    """Makes multi-vector encoders."""

    task = "encoder"
    gives = frozenset({"matrix"})
    evaluates: frozenset[Evaluates] = frozenset({"search", "rerank"})

    def __init__(self, config: MultiVectorConfig, context: Context) -> None:
        self.config = config

    def check(self, spec: Model) -> None:
        """Refuse what is for bi-encoders."""
        refuse(spec, "multi-vector encoder", "pooling", "similarity", "documents")

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load a ``MultiVectorEncoder`` as it is, or a folder of transformers with a projection of its token vectors."""
        if (folder / "modules.json").is_file():
            model = load_whole("MultiVectorEncoder", folder, "multi-vector encoder")
        else:
            model = self._build(folder)
        finish(spec, model)
        return MultiVectorTrainee(model)

    def _build(self, folder: Path) -> Any:
        from sentence_transformers import MultiVectorEncoder
        from sentence_transformers.base.modules import Dense, Normalize
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        config = self.config
        filled = {"strategy": "fixed", "attend": False, "length": config.query_tokens} if config.query_tokens else None
        transformer = load_transformer_module(folder, "multi-vector encoder", query_expansion=filled)
        modules: list[nn.Module] = [transformer]
        if config.dimensions is not None:
            modules.append(
                Dense(
                    in_features=transformer.get_embedding_dimension(),
                    out_features=config.dimensions,
                    bias=False,
                    activation_function=nn.Identity(),
                    module_input_name="token_embeddings",
                )
            )
        known = transformer.tokenizer.get_vocab()
        skipped = [sign for sign in string.punctuation if sign in known] if config.skip_punctuation else None
        modules.append(MultiVectorMask(skiplist_words=skipped))
        modules.append(Normalize(module_input_name="token_embeddings"))
        return MultiVectorEncoder(modules=modules, device="cpu")


def _cut(representations: Tensor) -> tuple[Tensor, Tensor]:
    """Return token vectors, without places that count in no text, and which count: ``(texts, tokens)`` bool."""
    counts = representations[:, :, -1] > 0
    used = counts.any(dim=0).nonzero()[:, 0]
    return representations[:, used, :-1], counts[:, used]

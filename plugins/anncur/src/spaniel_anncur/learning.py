"""Training the cross-encoder that compares the vectors at its markers, by ``spaniel train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context
from spaniel_neural.batching import make_batch
from spaniel_neural.loading import Transformer, load_transformer, quietly
from spaniel_train.models import Item, Trainee, refuse
from spaniel_train.protocols import Evaluates
from spaniel_train.recipe import Model
from spaniel_train.trainees.pairs import CrossEncoderTrainee
from torch import Tensor

from spaniel_anncur.config import MarkersConfig
from spaniel_anncur.marked import compare_markers, mark_pairs, marker_ids

_PART = 256


class EmbCrossEncoderTrainee(CrossEncoderTrainee):
    """Scores pairs by the vectors at their markers; every parameter of the transformer is trained.

    Args:
        transformer: model and tokenizer.
        markers: their numbers.
        max_length: tokens of a pair.
    """

    def __init__(self, transformer: Transformer, markers: list[int], max_length: int) -> None:
        Trainee.__init__(self, transformer.model)
        self.transformer = transformer
        self.markers = markers
        self.max_length = max_length

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return scores, ``(items,)``."""
        queries, texts = [item[0] for item in items], [item[1] for item in items]
        pairs = mark_pairs(self.transformer.tokenizer, self.markers, queries, texts, self.max_length)
        batch = make_batch(self.transformer, pairs.tokens, np.arange(len(items)))
        hidden = self.model(**batch.inputs).last_hidden_state.float()
        return compare_markers(hidden, torch.from_numpy(pairs.places).to(hidden.device))

    def score(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Return the scores of all pairs."""
        pairs = [(query, text) for query, texts in zip(queries, lists, strict=True) for text in texts]
        self.model.eval()
        with torch.no_grad():
            parts = [self.represent(pairs[at : at + _PART]).cpu().numpy() for at in range(0, len(pairs), _PART)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as transformers loads them."""
        with quietly():
            self.model.save_pretrained(folder)
            self.transformer.tokenizer.save_pretrained(folder)


class EmbCrossEncoderMaker:
    """Makes such models of any encoder of transformers whose vocabulary has the markers."""

    task = "encoder"
    gives: frozenset[str] = frozenset()
    evaluates: frozenset[Evaluates] = frozenset({"rerank"})

    def __init__(self, config: MarkersConfig, context: Context) -> None:
        self.config = config

    def check(self, spec: Model) -> None:
        """Refuse what is for other models."""
        refuse(spec, "emb-cross-encoder", "pooling", "similarity", "documents", "prompts", "lora")

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load a transformer.

        Raises:
            UsageError: a marker is no token of its vocabulary.
        """
        transformer = load_transformer(folder, "encoder", device=device, dtype="float32")
        markers = marker_ids(transformer.tokenizer, self.config.markers)
        asked: Any = spec.max_length
        return EmbCrossEncoderTrainee(transformer, markers, transformer.max_length(asked, 256) or 256)

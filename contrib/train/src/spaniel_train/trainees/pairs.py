"""Cross-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context, UsageError
from spaniel_neural.files import label_count, read_config
from torch import Tensor, nn

from spaniel_train.batch import Batch, Outputs
from spaniel_train.models import Item, ScoringTrainee, Trainee, refuse
from spaniel_train.protocols import Evaluates
from spaniel_train.recipe import Model
from spaniel_train.trainees.folders import BATCH, LibraryTrainee, finish, load_whole


class CrossEncoderTrainee(LibraryTrainee, ScoringTrainee):
    """A cross-encoder: a score a pair."""

    def items(self, batch: Batch) -> list[Item]:
        """Return each query of a batch with each text of its group."""
        groups = batch.groups.tolist()
        queries = (row.instruction + row.query for row in batch.rows)
        return [(q, batch.texts[t]) for q, group in zip(queries, groups, strict=True) for t in group if t >= 0]

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return scores, ``(items,)``, before any activation."""
        scores: Tensor = self.model(self.features(items, prompt=None))["scores"]
        return scores.float()[:, 0]

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return the scores of the groups."""
        scores = representations.new_zeros(batch.groups.shape)
        return Outputs(scores.masked_scatter(batch.filled, representations))

    def score(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Return the scores of all pairs."""
        pairs = [(query, text) for query, texts in zip(queries, lists, strict=True) for text in texts]
        if not pairs:
            return np.zeros(0, np.float32)
        return np.asarray(self.model.predict(pairs, batch_size=BATCH, show_progress_bar=False), np.float32)


class CrossEncoderMaker:
    """Makes cross-encoders."""

    task = "sequence-classification"
    gives: frozenset[str] = frozenset()
    evaluates: frozenset[Evaluates] = frozenset({"rerank"})

    def __init__(self, config: Any, context: Context) -> None:
        pass

    def check(self, spec: Model) -> None:
        """Refuse what is for encoders."""
        refuse(spec, "cross-encoder", "pooling", "similarity", "documents", "prompts")

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load a folder of sentence-transformers or transformers; a head that it lacks starts at random.

        Raises:
            UsageError: the folder holds none, or one that gives several scores a pair.
        """
        scores = _scores_of(folder)
        if scores not in (None, 1):
            raise UsageError(
                f"model: {folder} gives {scores} scores a pair, and a cross-encoder that is trained gives one: begin from "
                "a model without that head"
            )
        model = load_whole(
            "CrossEncoder",
            folder,
            "cross-encoder",
            num_labels=1,
            activation_fn=nn.Identity(),
            max_length=spec.max_length,
        )
        finish(spec, model, whole=["classifier"])
        return CrossEncoderTrainee(model)


def _scores_of(folder: Path) -> int | None:
    """Return how many scores a pair the head of a folder of transformers gives; ``None`` where it has no head."""
    if not (folder / "config.json").is_file():
        return None
    config = read_config(folder)
    if not any(str(name).endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
        return None
    return label_count(config)

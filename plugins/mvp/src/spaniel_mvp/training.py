"""The model in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel_neural.batching import batches
from spaniel_train.batch import Batch, Outputs
from spaniel_train.models import Item, ScoringTrainee, refuse
from spaniel_train.protocols import Evaluates
from spaniel_train.recipe import Model
from torch import Tensor

from spaniel_mvp.config import MvpTraineeConfig
from spaniel_mvp.loading import Loaded, begin, save
from spaniel_mvp.model import aggregate
from spaniel_mvp.objectives import ANCHORS

if TYPE_CHECKING:
    from spaniel import Context

_TOKENS = 4096
"""Tokens that go through the encoder at once, padding included."""


class MvpTrainee(ScoringTrainee):
    """Scores of whole lists: an item is a query with all texts of its group.

    So what is read in parts, by gradient caching or by several processes, is whole lists, and a list's decoding step
    belongs to its part.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded.model)
        self.loaded = loaded

    def items(self, batch: Batch) -> list[Item]:
        """Return each query of a batch with the texts of its group."""
        groups = batch.groups.tolist()
        return [
            (row.instruction + row.query, *(batch.texts[text] for text in group if text >= 0))
            for row, group in zip(batch.rows, groups, strict=True)
        ]

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return the anchors of each list, then its scores: ``(lists, views · dimensions + passages)`` float32."""
        lengths = torch.tensor([len(item) - 1 for item in items])
        vectors = self._relevance(items)
        filled = torch.arange(int(lengths.max())) < lengths[:, None]
        places = torch.where(filled, (lengths.cumsum(0) - lengths)[:, None] + torch.arange(filled.shape[1]), 0)
        filled = filled.to(vectors.device)
        relevance = vectors[places.to(vectors.device)]
        model = self.loaded.model
        anchors = model.decode(relevance, filled).anchors
        scores = aggregate(model.compare(relevance, anchors), model.settings.aggregate)
        return torch.cat([anchors.flatten(1), torch.where(filled, scores, 0.0)], dim=1)

    def _relevance(self, items: Sequence[Item]) -> Tensor:
        """Return the relevance vectors of all pairs, list after list, with gradients where they are on."""
        pairs = [(query, text) for query, *texts in items for text in texts]
        tokens = self.loaded.prompter.tokens([q for q, _ in pairs], [t for _, t in pairs])
        model, reader = self.loaded.model, self.reader
        made, order = [], []
        for part in batches(reader, tokens, budget=_TOKENS):
            made.append(model.relevance(model.encoder(**part.inputs)))
            order.append(part.positions)
        back = torch.from_numpy(np.argsort(np.concatenate(order))).to(made[0].device)
        return torch.cat(made)[back]

    @property
    def reader(self) -> Any:
        """The encoder and tokenizer, where the model is now."""
        from dataclasses import replace

        return replace(self.loaded.reader, device=self.loaded.model.device)

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return scores, and the anchors of the lists."""
        settings = self.loaded.model.settings
        width = batch.groups.shape[1]
        size = representations.shape[1] - width
        scores = representations[:, size:]
        anchors = representations[:, :size].reshape(len(representations), settings.views, size // settings.views)
        return Outputs(torch.where(batch.filled, scores, 0.0), more={ANCHORS: anchors})

    def score(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Return the scores of whole lists, one list after the other."""
        made = [np.empty(0, np.float32)]
        with torch.inference_mode():
            for query, texts in zip(queries, lists, strict=True):
                if len(texts):
                    made.append(self.represent([(query, *texts)])[0, -len(texts) :].float().cpu().numpy())
        return np.concatenate(made)

    def save(self, folder: Path) -> None:
        """Write the model as the reranker loads it."""
        save(self.loaded, folder)


class MvpMaker:
    """Makes models of views out of a T5, or of an encoder, or goes on with one that was trained."""

    task = "seq2seq"
    gives: frozenset[str] = frozenset({ANCHORS})
    evaluates: frozenset[Evaluates] = frozenset({"rerank"})

    def __init__(self, config: MvpTraineeConfig, context: Context) -> None:
        self.config = config

    def check(self, spec: Model) -> None:
        """Refuse what is for other kinds."""
        refuse(spec, "mvp", "pooling", "similarity", "documents", "prompts", "lora")

    def load(self, spec: Model, folder: Path, device: torch.device) -> MvpTrainee:
        """Load the base; a decoder and view tokens that it lacks start at random."""
        return MvpTrainee(begin(folder, self.config, set(self.config.model_fields_set), spec.max_length))

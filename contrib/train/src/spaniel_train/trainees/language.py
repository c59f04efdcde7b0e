"""Masked and causal language models, as transformers has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from spaniel import Context, UsageError
from spaniel_neural.loading import load_transformer, quietly
from torch import Tensor, nn
from torch.nn import functional

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import LanguageConfig
from spaniel_train.models import Item, Trainee, add_lora, merge_lora, refuse
from spaniel_train.protocols import Evaluates, Need, Objective
from spaniel_train.recipe import Model
from spaniel_train.tokens import IGNORED, Predicts, Vocabulary

if TYPE_CHECKING:
    from spaniel_train.data import Data


class LanguageTrainee(Trainee):
    """A model that predicts tokens; its representation of a text is the weighted loss of its targets, and their weight.

    Args:
        model: of transformers, with a head over the vocabulary.
        vocabulary: its tokenizer.
        reads: which texts of a row.
        gives: the word by which objectives need the losses.
    """

    def __init__(self, model: Any, vocabulary: Vocabulary, reads: str, gives: Need) -> None:
        super().__init__(model)
        self.vocabulary = vocabulary
        self.reads = reads
        self.gives = gives
        self._objective: Predicts | None = None

    def meet(self, objectives: Sequence[Objective], data: Data) -> None:
        """Learn what the objective masks and weighs."""
        (objective,) = objectives
        assert isinstance(objective, Predicts)  # a recipe with another one is refused
        texts = dict.fromkeys(text for row in data.rows for text in self._texts([row.query], row.positives))
        objective.fit(self.vocabulary, texts)
        self._objective = objective

    def items(self, batch: Batch) -> list[Item]:
        """Return each text with the seed of its masks and the weights that its row gives to tokens."""
        weights: dict[str, str] = {}
        for row in batch.rows:
            if row.weights:
                for text in (row.query, *row.positives, *row.negatives):
                    weights.setdefault(text, json.dumps(dict(row.weights)))
        texts = list(self._texts([row.query for row in batch.rows], batch.texts))
        seeds = np.random.default_rng(batch.seed).integers(2**62, size=len(texts)).tolist()
        return [(text, str(seed), weights.get(text, "")) for text, seed in zip(texts, seeds, strict=True)]

    def represent(self, items: Sequence[Item]) -> Tensor:
        """Return the sum of the weighted losses and the sum of the weights of each text: ``(items, 2)``."""
        assert self._objective is not None  # the training has begun
        tokens = self.vocabulary.read([text for text, _, _ in items])
        reading = self._objective.reading(tokens, self.vocabulary, [int(seed) for _, seed, _ in items])
        weights = self._objective.weights(reading.targets, self.vocabulary)
        for row, (_, _, said) in enumerate(items):
            if said:
                weights[row] *= self.vocabulary.table(json.loads(said))[np.maximum(reading.targets[row], 0)]
        device = self.model.device
        targets = torch.from_numpy(reading.targets).to(device)
        places = targets != IGNORED
        ids, filled = (torch.from_numpy(array).to(device) for array in (reading.ids, tokens.filled))
        losses = functional.cross_entropy(self._logits(ids, filled, places), targets[places], reduction="none")
        weight = torch.from_numpy(weights).to(device)
        owners = places.nonzero()[:, 0]
        sums = losses.new_zeros(len(items)).index_add(0, owners, losses * weight[places])
        return torch.stack([sums, weight.sum(dim=1)], dim=1)

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return the losses of the texts; no text is scored."""
        return Outputs(representations.new_zeros(batch.groups.shape), more={self.gives: representations})

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as transformers loads them."""
        self.model = merge_lora(self.model)
        with quietly():
            self.model.save_pretrained(str(folder))
            self.vocabulary.tokenizer.save_pretrained(str(folder))

    def _texts(self, queries: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
        if self.reads != "texts":
            yield from (query for query in queries if query)
        if self.reads != "queries":
            yield from texts

    def _logits(self, ids: Tensor, filled: Tensor, places: Tensor) -> Tensor:
        """Return the scores of the vocabulary at some places, ``(places, vocabulary)`` float32.

        The matrix of the vocabulary is by far the largest one, so it is only multiplied with what is asked for.
        """
        last = self.model.get_output_embeddings()
        hook = None
        if isinstance(last, nn.Linear):
            hook = last.register_forward_pre_hook(lambda _, given: (given[0][places],))
        try:
            more = {"use_cache": False} if self.gives == "next tokens" else {}
            scores: Tensor = self.model(input_ids=ids, attention_mask=filled.long(), **more).logits
        finally:
            if hook is not None:
                hook.remove()
        return (scores if scores.ndim == 2 else scores[places]).float()


class _LanguageMaker:
    task: Any
    need: Need
    evaluates: frozenset[Evaluates] = frozenset()

    def __init__(self, config: LanguageConfig, context: Context) -> None:
        self.config = config

    @property
    def gives(self) -> frozenset[Need]:
        """The losses of tokens."""
        return frozenset({self.need})

    def check(self, spec: Model) -> None:
        """Refuse what is for encoders."""
        refuse(spec, "language model", "pooling", "similarity", "documents", "prompts")

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load a folder of transformers."""
        loaded = load_transformer(folder, self.task, device="cpu", dtype="float32", offline=True)
        if loaded.model.config.is_encoder_decoder:
            raise UsageError(f"model: {folder} holds an encoder and a decoder")
        vocabulary = Vocabulary(loaded.tokenizer, loaded.max_length(spec.max_length))
        return LanguageTrainee(add_lora(spec, loaded.model), vocabulary, self.config.reads, self.need)


class MaskedLmMaker(_LanguageMaker):
    """Makes masked language models."""

    task = "masked-lm"
    need = "masked tokens"


class CausalLmMaker(_LanguageMaker):
    """Makes causal language models."""

    task = "causal-lm"
    need = "next tokens"

"""Training a cross-encoder by localized contrastive estimation, one epoch at a time, each kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from spaniel import Corpus
from spaniel_neural.batching import batches, tokenize
from spaniel_neural.loading import Transformer

from spaniel_rerankers.config import TinyCrossEncoderConfig
from spaniel_rerankers.groups import Groups

_WARM = 0.1
"""Share of the steps over which the learning rate rises; it falls over the others, both in a straight line."""
_DECAY = 0.01
_CLIP = 1.0
_TOKENS = 4096
"""Tokens that go through the model at once, padding included; a step is several such parts."""


class Training:
    """A cross-encoder in training.

    The loss of a group is the cross-entropy of its right document among all of the group (Gao, Dai and Callan, ECIR
    2021, equation 6). Every epoch draws its wrong documents, its order and its dropout from a seed of its own, so that a
    training that was stopped goes on as if it had not been.

    Args:
        transformer: a model for sequence classification with one label; it is trained in place.
        groups: what it learns from.
        corpus: where the wrong documents are.
        config: the options of the recipe.
        seed_for: gives the seed of an epoch.
    """

    def __init__(
        self,
        transformer: Transformer,
        groups: Groups,
        corpus: Corpus,
        config: TinyCrossEncoderConfig,
        seed_for: Callable[[int], int],
    ) -> None:
        self.transformer = transformer
        self.groups = groups
        self.corpus = corpus
        self.config = config
        self.seed_for = seed_for
        self.steps = -(-len(groups) // config.batch)
        self._weights = dict(transformer.model.named_parameters())
        self._optimizer = torch.optim.AdamW(
            list(self._weights.values()), lr=config.learning_rate, weight_decay=_DECAY, foreach=False
        )

    def run(self, epoch: int, advance: Callable[[int], None]) -> float:
        """See every group once, and return the mean loss; ``advance`` is told of each step."""
        seed = self.seed_for(epoch)
        rng = np.random.default_rng(seed)
        count = self.config.negatives
        wrong = self.groups.negatives(count, len(self.corpus), rng)
        order = rng.permutation(len(self.groups))
        total = 0.0
        model = self.transformer.model.train()
        with torch.random.fork_rng(devices=[self.transformer.device] if self.transformer.device.type == "cuda" else []):
            torch.manual_seed(seed)
            for step in range(self.steps):
                chosen = order[step * self.config.batch : (step + 1) * self.config.batch]
                for group in self._optimizer.param_groups:
                    group["lr"] = self.config.learning_rate * self._pace(epoch * self.steps + step)
                loss = self._loss(chosen, wrong[chosen])
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
                self._optimizer.step()
                self._optimizer.zero_grad()
                total += float(loss.detach()) * len(chosen)
                advance(1)
        model.eval()
        return total / len(self.groups)

    def _loss(self, chosen: np.ndarray, wrong: np.ndarray) -> torch.Tensor:
        others = self.corpus.contents(wrong.reshape(-1))
        width = wrong.shape[1]
        texts: list[str] = []
        for place, group in enumerate(chosen.tolist()):
            texts += [self.groups.positives[group], *others[place * width : (place + 1) * width]]
        queries = [self.groups.queries[group] for group in chosen.tolist() for _ in range(width + 1)]
        tokens = tokenize(self.transformer.tokenizer, queries, texts, max_length=self.config.max_length)
        made, places = [], []
        # In parts of like length: one long document would fill up all the others.
        for batch in batches(self.transformer, tokens, budget=_TOKENS):
            with self.transformer.autocast():
                made.append(self.transformer.model(**batch.inputs).logits.float()[:, 0])
            places.append(batch.positions)
        back = torch.from_numpy(np.argsort(np.concatenate(places))).to(made[0].device)
        logits = torch.cat(made)[back].reshape(len(chosen), width + 1)
        right = torch.zeros(len(chosen), dtype=torch.long, device=logits.device)
        return torch.nn.functional.cross_entropy(logits, right)

    def _pace(self, step: int) -> float:
        steps = self.steps * self.config.epochs
        warm = max(1, int(_WARM * steps))
        return min((step + 1) / warm, (steps - step) / max(1, steps - warm))

    def save(self, path: Path) -> None:
        """Write weights and the optimizer's state, as safetensors."""
        tensors = {f"weights.{name}": weight.detach().contiguous() for name, weight in self._weights.items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{number}.{name}": value.contiguous() for name, value in state.items()})
        save_file(tensors, path)

    def restore(self, path: Path) -> None:
        """Go on from what :meth:`save` wrote."""
        tensors = load_file(path)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(tensors[f"weights.{name}"])
        states: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                number, _, field = rest.partition(".")
                states.setdefault(int(number), {})[field] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": states})

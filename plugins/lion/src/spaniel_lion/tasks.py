"""Small trainings that say how good an update rule is; all that is random is drawn from one seed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import torch
from spaniel import Context, UsageError
from spaniel.store import canonical_json, digest_bytes
from spaniel_text.segments import find_words
from spaniel_train.material import collection_material
from torch import Tensor
from torch.nn import functional

from spaniel_lion.programs.rule import Rule

Split = Literal["validation", "test"]
WORST = 1e6
"""The loss of what diverges."""
_WARMUP = 0.1
"""Share of the steps over which the learning rate rises."""


@dataclass(frozen=True)
class Schedule:
    """How long a training is, what its batches hold, and the peak of its learning rate."""

    steps: int
    batch: int
    peak: float = 1.0


class Task(Protocol):
    """A model with data."""

    rows: int
    """Training rows, of which batches are drawn."""

    def weights(self, generator: torch.Generator) -> list[Tensor]:
        """Return fresh weights."""
        ...

    def gradients(self, weights: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
        """Return the gradients of the mean loss over a batch of rows."""
        ...

    def measure(self, weights: Sequence[Tensor], split: Split) -> tuple[float, float]:
        """Return mean loss, and share of errors, on what is not trained on."""
        ...


def train_by(rule: Rule, task: Task, schedule: Schedule, seed: int) -> list[Tensor]:
    """Train fresh weights by a rule, ``w ← w - update``, and return them.

    The rule is given a learning rate that rises to its peak over a tenth of the steps and falls as a cosine.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        weights = task.weights(generator)
        chosen = torch.randint(task.rows, (schedule.steps, schedule.batch), generator=generator)
        states = {name: [torch.zeros_like(w) for w in weights] for name in rule.states}
        for step, rate in enumerate(rates(schedule.steps)):
            gradients = task.gradients(weights, chosen[step])
            found = rule({"w": weights, "g": gradients, "lr": schedule.peak * rate, **states})
            weights = list(torch._foreach_sub(weights, found.pop("update")))
            states = found
    return weights


def outcome(rule: Rule, task: Task, schedule: Schedule, seed: int, split: Split) -> tuple[float, float]:
    """Return loss and share of errors of what a rule trains; what diverges has ``WORST`` and 1."""
    with torch.no_grad():
        loss, error = task.measure(train_by(rule, task, schedule, seed), split)
    return (min(loss, WORST), error) if np.isfinite(loss) else (WORST, 1.0)


@lru_cache(maxsize=8)
def rates(steps: int) -> tuple[float, ...]:
    """Return the learning rates of a training, as shares of the peak."""
    at = np.arange(steps)
    rise = np.minimum(1.0, (at + 1) / (round(_WARMUP * steps) + 1))
    return tuple((rise * 0.5 * (1 + np.cos(np.pi * at / steps))).tolist())


class DigitsTask:
    """A perceptron without biases on scikit-learn's digits: 1000 images train, 397 validate and 400 test.

    Args:
        hidden: units of the hidden layer; 0: none.
    """

    def __init__(self, hidden: int) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))
        self.data = digest_bytes(images.tobytes() + labels.tobytes())
        x = torch.tensor(images[order] / 16, dtype=torch.float32)
        y = torch.tensor(labels[order])
        self.parts = {"train": (x[:1000], y[:1000]), "validation": (x[1000:1397], y[1000:1397])}
        self.parts["test"] = (x[1397:], y[1397:])
        self.targets = functional.one_hot(y[:1000], 10).float()
        self.sizes = [64, hidden, 10] if hidden else [64, 10]
        self.rows = 1000

    def weights(self, generator: torch.Generator) -> list[Tensor]:
        """Return layers ``(in, out)``, drawn as He et al. do."""
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return [torch.randn(i, o, generator=generator) * (2 / i) ** 0.5 for i, o in pairs]

    def gradients(self, weights: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
        """Return the gradients, worked out by hand: it is what most of the time of a search goes into."""
        x, y = self.parts["train"][0][rows], self.targets[rows]
        hidden = (x @ weights[0]).clamp_(min=0) if len(weights) == 2 else x
        error = (torch.softmax(hidden @ weights[-1], dim=1) - y).div_(len(rows))
        last = hidden.T @ error
        if len(weights) == 1:
            return [last]
        return [x.T @ (error @ weights[1].T).mul_(hidden > 0), last]

    def measure(self, weights: Sequence[Tensor], split: Split) -> tuple[float, float]:
        """Return cross-entropy and share of wrong labels."""
        x, y = self.parts[split]
        logits = (x @ weights[0]).clamp(min=0) @ weights[1] if len(weights) == 2 else x @ weights[0]
        return float(functional.cross_entropy(logits, y)), float((logits.argmax(1) != y).float().mean())


@dataclass(frozen=True)
class Bags:
    """Texts as bags of words: the rows of a table, one text after the other."""

    words: Tensor
    offsets: Tensor

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return words and offsets of some texts."""
        starts, stops = self.offsets[rows], self.offsets[rows + 1]
        counts = stops - starts
        offsets = counts.cumsum(0) - counts
        places = torch.arange(int(counts.sum())) + (starts - offsets).repeat_interleave(counts)
        return self.words[places], offsets


class TitlesTask:
    """A bag of hashed words as an encoder: titles are to find their texts among those of the batch.

    Args:
        context: the session.
        collection: name or folder of the collection.
        buckets: rows of the table.
        width: its columns.
        scale: what cosines are multiplied with.
        most: pairs, at most; of each five one validates, and one tests.

    Raises:
        UsageError: the collection has too few titles.
    """

    _WORDS = 64

    def __init__(self, context: Context, collection: str, buckets: int, width: int, scale: float, most: int) -> None:
        material = collection_material(context, collection, None)
        synthesizer = context.create("synthesize", "titles(words=1)")
        made = synthesizer.make(material, 0, synthesizer.units(material)).rows[:most]
        if len(made) < 20:
            raise UsageError(f"{collection} has {len(made)} documents with titles and texts; 20 are needed")
        self.data = digest_bytes(canonical_json([material.digest, len(made)]))
        self.sides = [self._bags([row.query for row in made], buckets)]
        self.sides.append(self._bags([row.positives[0] for row in made], buckets))
        places = torch.arange(len(made))
        self.parts = {"train": places[places % 5 > 1], "validation": places[places % 5 == 0]}
        self.parts["test"] = places[places % 5 == 1]
        self.rows = len(self.parts["train"])
        self.shape, self.scale = (buckets, width), scale

    def _bags(self, texts: Sequence[str], buckets: int) -> Bags:
        found = [find_words(text)[: self._WORDS] for text in texts]
        rows = [[zlib.crc32(word.encode()) % buckets for word in words] for words in found]
        counts = torch.tensor([0, *(len(words) for words in rows)])
        return Bags(torch.tensor([row for words in rows for row in words]), counts.cumsum(0))

    def weights(self, generator: torch.Generator) -> list[Tensor]:
        """Return the table."""
        return [torch.randn(self.shape, generator=generator) * self.shape[1] ** -0.5]

    def gradients(self, weights: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
        """Return the gradient of the cross-entropy of each title among the texts of the batch."""
        table = weights[0].requires_grad_()
        with torch.enable_grad():
            logits = self._logits(table, self.parts["train"][rows])
            return list(torch.autograd.grad(functional.cross_entropy(logits, torch.arange(len(rows))), table))

    def measure(self, weights: Sequence[Tensor], split: Split) -> tuple[float, float]:
        """Return the cross-entropy among all texts of the split, and the share of titles whose text is not first."""
        logits = self._logits(weights[0], self.parts[split])
        right = torch.arange(len(logits))
        return float(functional.cross_entropy(logits, right)), float((logits.argmax(1) != right).float().mean())

    def _logits(self, table: Tensor, rows: Tensor) -> Tensor:
        sides = [
            functional.embedding_bag(words, table, offsets) for words, offsets in (s.take(rows) for s in self.sides)
        ]
        titles, texts = (functional.normalize(side, dim=1) for side in sides)
        return self.scale * titles @ texts.T

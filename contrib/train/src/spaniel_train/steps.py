"""Gradients of a batch, at once or part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.models import Item, Trainee

Seed = Callable[[int], int]
"""Number of a part → the seed of its dropout."""
Loss = Callable[[Outputs, Batch], Tensor]


class Gradients:
    """Adds the gradients of batches to the parameters.

    The items of a batch go through the model in parts of like length. Each part draws its dropout from a seed of its own,
    so nothing depends on what ran before it. With gradient caching (Gao et al., Scaling Deep Contrastive Learning Batch
    Size under Memory Limited Setup, RepL4NLP 2021) the parts run twice: first without gradients for the representations,
    whose gradients the loss gives, then one by one with them; the sum over the parts is the gradient of the whole batch.

    Args:
        trainee: the model.
        part: items of a part, at most.
        cached: whether gradients are cached.
        dtype: arithmetic of the model.
    """

    def __init__(self, trainee: Trainee, part: int, cached: bool, dtype: str) -> None:
        self.trainee = trainee
        self.part = part
        self.cached = cached
        self.dtype = dtype
        self.device = torch.device(trainee.model.device)

    def add(self, batch: Batch, loss: Loss, share: float, seed: Seed) -> float:
        """Add ``share`` times the gradient of the loss of a batch, and return the loss itself."""
        items = self.trainee.items(batch)
        order = sorted(range(len(items)), key=lambda place: -len(items[place][0]) - len(items[place][1]))
        parts = [[items[p] for p in order[at : at + self.part]] for at in range(0, len(order), self.part)]
        back = torch.tensor(order, device=self.device).argsort()
        batch = batch.to(self.device)
        if not self.cached:
            made = torch.cat([self._run(part, seed(number)) for number, part in enumerate(parts)])
            total = loss(self.trainee.outputs(made[back], batch), batch)
            (share * total).backward()  # type: ignore[no-untyped-call]
            return float(total.detach())
        with torch.no_grad():
            made = torch.cat([self._run(part, seed(number)) for number, part in enumerate(parts)])
        made = made.requires_grad_()
        total = loss(self.trainee.outputs(made[back], batch), batch)
        (gradient,) = torch.autograd.grad(share * total, made)
        for number, (part, wanted) in enumerate(zip(parts, gradient.split(self.part), strict=True)):
            self._run(part, seed(number)).backward(wanted)  # type: ignore[no-untyped-call]
        return float(total.detach())

    def _run(self, items: Sequence[Item], seed: int) -> Tensor:
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), self._arithmetic():
            torch.manual_seed(seed)
            return self.trainee.represent(items)

    def _arithmetic(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.dtype == "bfloat16" else nullcontext()

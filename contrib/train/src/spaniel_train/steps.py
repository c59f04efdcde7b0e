"""Gradients of a batch, at once or part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.models import Item, Trainee, joined
from spaniel_train.processes import Team

Seed = Callable[[int], int]
"""Number of a part → the seed of its dropout; the number of parts → that of what follows them."""
Loss = Callable[[Outputs, Batch], Tensor]


class Gradients:
    """Adds the gradients of batches to the parameters.

    The items of a batch go through the model in parts of like length. Each part draws its dropout from a seed of its own,
    so nothing depends on what ran before it, or on which process runs it. With gradient caching (Gao et al., Scaling Deep
    Contrastive Learning Batch Size under Memory Limited Setup, RepL4NLP 2021) the parts run twice: first without gradients
    for the representations, whose gradients the loss gives, then one by one with them; the sum over the parts is the
    gradient of the whole batch.

    Args:
        trainee: the model.
        part: items of a part, at most.
        cached: whether gradients are cached.
        team: the processes that share the parts; by default this one alone.
    """

    def __init__(self, trainee: Trainee, part: int, cached: bool, team: Team | None = None) -> None:
        self.trainee = trainee
        self.part = part
        self.cached = cached
        self.device = torch.device(trainee.model.device)
        self.team = team or Team(self.device)

    def add(self, batch: Batch, loss: Loss, share: float, seed: Seed) -> float:
        """Add ``share`` times the gradient of the loss of a batch, and return the loss itself.

        Of several processes, each adds the gradient of the parts that it runs.
        """
        items = self.trainee.items(batch)
        order = sorted(range(len(items)), key=lambda place: -sum(map(len, items[place])))
        parts = [[items[p] for p in order[at : at + self.part]] for at in range(0, len(order), self.part)]
        back = torch.tensor(order, device=self.device).argsort()
        batch = batch.to(self.device)
        team = self.team
        mine = range(team.rank, len(parts), team.size)
        with torch.set_grad_enabled(not self.cached):
            made = {number: self._run(parts[number], seed(number)) for number in mine}
        leaves = {number: part.detach().requires_grad_() for number, part in made.items()}
        every = team.gather(leaves)
        with self._seeded(seed(len(parts))):
            whole = joined([every[number] for number in range(len(parts))])[back]
            total = loss(self.trainee.outputs(whole, batch), batch)
            if total.requires_grad:
                # Every process takes the gradient of the whole loss, which is added up over them once more.
                (share / team.size * total).backward()  # type: ignore[no-untyped-call]
        for number, leaf in leaves.items():
            if leaf.grad is None:
                continue
            part = self._run(parts[number], seed(number)) if self.cached else made.pop(number)
            if part.requires_grad:
                part.backward(team.size * leaf.grad)  # type: ignore[no-untyped-call]
        return float(total.detach())

    def _run(self, items: Sequence[Item], seed: int) -> Tensor:
        with self._seeded(seed), self.trainee.arithmetic():
            return self.trainee.represent(items)

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

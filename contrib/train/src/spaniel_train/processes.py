"""Several processes that train one model, as ``torchrun`` and accelerate start them.

Every process plans the same batches and reads its share of their items; the representations are gathered, so each sees the
loss of the whole batch, in-batch negatives and all, and the gradients of the shares are added up. So any objective has the
gradient that one process would give it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from spaniel import SpanielError, UsageError
from torch import Tensor, nn

T = TypeVar("T")
_PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: the first one evaluates and writes while they wait."""


class Team:
    """The processes of a training: this one alone, or those of the environment that torchrun describes.

    A context manager: inside it the processes can talk.

    Attributes:
        rank: number of this process; the first one, 0, measures and writes.
        size: how many there are.
        device: where this process computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.size = int(os.environ.get("WORLD_SIZE", 1))
        self.device = device
        if self.size > 1 and device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))

    def __enter__(self) -> Self:
        if self.size > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            torch.distributed.init_process_group(backend, timeout=_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.size > 1:
            torch.distributed.destroy_process_group()

    def first(self, make: Callable[[], T]) -> T:
        """Return in every process what the first one makes, which must be JSON; the others wait.

        Raises:
            UsageError: the first one failed, for a reason that is told there.
        """
        if self.size == 1:
            return make()
        said: list[Any] = [None, None]
        raised: SpanielError | None = None
        if self.rank == 0:
            try:
                said[0] = make()
            except SpanielError as error:
                raised, said[1] = error, str(error)
        said = self.exchange(said)[0]
        if raised is not None:
            raise raised
        if said[1] is not None:
            raise UsageError(said[1])
        made: T = said[0]
        return made

    def exchange(self, value: Any) -> list[Any]:
        """Return what all processes give, by rank; JSON."""
        if self.size == 1:
            return [value]
        written = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=self.device)
        return [json.loads(bytes(one.tolist())) for one in self._gather(written)]

    def gather(self, parts: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return the tensors of all processes by number; each has its own as they are, and those of others as constants.

        Args:
            parts: number → tensor, float32; no two processes have a number in common.
        """
        if self.size == 1:
            return dict(parts)
        shapes = self.exchange({number: list(part.shape) for number, part in parts.items()})
        flat = [part.detach().reshape(-1) for part in parts.values()]
        found = self._gather(torch.cat(flat) if flat else torch.zeros(0, device=self.device))
        every: dict[int, Tensor] = {}
        for said, values in zip(shapes, found, strict=True):
            at = 0
            for number, shape in said.items():
                size = math.prod(shape)
                every[int(number)] = values[at : at + size].reshape(shape)
                at += size
        return {**every, **parts}

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes; a parameter that has none in any keeps none."""
        if self.size == 1:
            return
        trained = list(parameters)
        has = torch.tensor([p.grad is not None for p in trained], dtype=torch.uint8, device=self.device)
        torch.distributed.all_reduce(has, torch.distributed.ReduceOp.MAX)
        chosen = [p for p, one in zip(trained, has.tolist(), strict=True) if one]
        if not chosen:
            return
        for p in chosen:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.reshape(-1) for p in chosen if p.grad is not None])
        torch.distributed.all_reduce(flat)
        at = 0
        for p in chosen:
            p.grad = flat[at : at + p.numel()].view_as(p).clone()
            at += p.numel()

    def _gather(self, values: Tensor) -> list[Tensor]:
        """Return one-dimensional tensors of all processes, which may differ in length."""
        length = torch.tensor([len(values)], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.size)]
        torch.distributed.all_gather(lengths, length)
        counts = [int(one) for one in lengths]
        filled = values.new_zeros(max(1, *counts))
        filled[: len(values)] = values
        made = [torch.zeros_like(filled) for _ in range(self.size)]
        torch.distributed.all_gather(made, filled)
        return [one[:count] for one, count in zip(made, counts, strict=True)]

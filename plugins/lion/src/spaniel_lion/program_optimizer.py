"""A program as an optimizer of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from spaniel_lion.blocks import blocks
from spaniel_lion.programs.program import Program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import OPTIMIZER


class ProgramOptimizer(torch.optim.Optimizer):
    """Updates weights by a program: ``w ← w - update``. It keeps the states that the program reads, and no others.

    The tree that the program sees is the tensors of a group that have a gradient; norms are taken over it.

    Args:
        params: parameters, or groups of them.
        program: the program.
        lr: what the program is given as ``lr``; programs as published carry their own factor and expect 1 at the peak.

    Raises:
        UsageError: the program is not valid.
    """

    def __init__(self, params: Iterable[Any], program: Program, lr: float = 1.0) -> None:
        self.rule = Rule(program, OPTIMIZER)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; parameters without a gradient are passed over."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            for weight in weights:
                for name in self.rule.states:
                    if name not in self.state[weight]:
                        self.state[weight][name] = torch.zeros_like(weight)
            states = [[self.state[weight][name] for weight in weights] for name in self.rule.states]
            sides = [weights, [p.grad for p in weights if p.grad is not None], *states]
            for parts in blocks(*sides) if self.rule.is_local else [sides]:
                self._step(parts, float(group["lr"]))
        return loss

    def _step(self, sides: Sequence[list[torch.Tensor]], rate: float) -> None:
        weights, gradients, *states = sides
        known = dict(zip(self.rule.states, states, strict=True))
        found = self.rule({"w": weights, "g": gradients, "lr": rate, **known})
        # An output may be an input itself, such as the other state, which is written over next.
        made = [[value.clone() for value in found[n]] if self._is_given(found[n], sides) else found[n] for n in known]
        torch._foreach_sub_(weights, found["update"])
        for kept, values in zip(states, made, strict=True):
            torch._foreach_copy_(kept, values)

    def _is_given(self, value: Any, sides: Sequence[list[torch.Tensor]]) -> bool:
        return any(value is side for side in sides)

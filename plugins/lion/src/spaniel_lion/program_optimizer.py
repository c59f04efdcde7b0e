"""A program as an optimizer of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch

from spaniel_lion.blocks import blocks
from spaniel_lion.programs.program import Program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import OPTIMIZER
from spaniel_lion.programs.text import parse_program, print_program
from spaniel_lion.states import check_tensors, given_states


class ProgramOptimizer(torch.optim.Optimizer):
    """Updates weights by a program: ``w ← w - update``. It keeps the states that the program reads, and no others.

    The tree that the program sees is the tensors of a group that have a gradient; norms are taken over it. Program and
    learning rate are options of a group, the program as text, and are kept in the optimizer's state.

    Args:
        params: parameters, or groups of them.
        program: the program, or its text.
        lr: what the program is given as ``lr``; programs as published carry their own factor and expect 1 at the peak.

    Raises:
        UsageError: the program is not valid.
    """

    def __init__(self, params: Iterable[Any], program: Program | str, lr: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "program": program if isinstance(program, str) else print_program(program)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, which may have a program of its own.

        Raises:
            UsageError: the program is not valid; nothing is added.
        """
        program = param_group.get("program", self.defaults["program"])
        text = program if isinstance(program, str) else print_program(program)
        _rule(text)
        super().add_param_group({**param_group, "program": text})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; parameters without a gradient are passed over.

        Raises:
            UsageError: a gradient is sparse, or a parameter complex; nothing has moved.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        check_tensors("a program", self.param_groups)
        for group in self.param_groups:
            rule = _rule(group["program"])
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            for weight in weights:
                for name in rule.states:
                    if name not in self.state[weight]:
                        self.state[weight][name] = torch.zeros_like(weight)
            states = [[self.state[weight][name] for weight in weights] for name in rule.states]
            sides = [weights, [p.grad for p in weights if p.grad is not None], *states]
            for parts in blocks(*sides) if rule.is_local else [sides]:
                self._step(rule, parts, float(group["lr"]))
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a copy of a state, by its programs.

        Raises:
            UsageError: one of them is not valid; nothing is loaded.
        """
        for group in state_dict["param_groups"]:
            _rule(group.get("program", self.defaults["program"]))
        super().load_state_dict(state_dict)
        for weight, _, state in given_states(self, state_dict):
            self.state[weight].update({name: self.state[weight][name].clone() for name in state})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("program", self.defaults["program"])

    def _step(self, rule: Rule, sides: Sequence[list[torch.Tensor]], rate: float) -> None:
        weights, gradients, *states = sides
        known = dict(zip(rule.states, states, strict=True))
        found = rule({"w": weights, "g": gradients, "lr": rate, **known})
        # An output may be an input itself, such as the other state, which is written over next.
        made = [[value.clone() for value in found[n]] if self._is_given(found[n], sides) else found[n] for n in known]
        torch._foreach_sub_(weights, found["update"])
        for kept, values in zip(states, made, strict=True):
            torch._foreach_copy_(kept, values)

    def _is_given(self, value: Any, sides: Sequence[list[torch.Tensor]]) -> bool:
        return any(value is side for side in sides)


@lru_cache(maxsize=64)
def _rule(text: str) -> Rule:
    return Rule(parse_program(text, OPTIMIZER), OPTIMIZER)

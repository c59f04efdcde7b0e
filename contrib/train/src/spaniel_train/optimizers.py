"""The optimizers to compare with, groups of parameters, and what an optimizer keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from spaniel import Context, UsageError
from torch import nn

from spaniel_train.config import AdafactorConfig, AdamWConfig, SgdConfig
from spaniel_train.protocols import ParameterGroup
from spaniel_train.recipe import Group

_BLOCK = re.compile(r"(?:^|\.)(?:layers?|blocks?|h|encoder\.block|decoder\.block)\.(\d+)\.")
"""Where a parameter's name says which block of a stack it is of."""


class AdamW:
    """AdamW of torch; the state is two tensors like the parameter, and a count of steps."""

    def __init__(self, config: AdamWConfig, context: Context) -> None:
        self.config = config

    def make(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer."""
        config = self.config
        # One parameter after the other, in one pass over each: the result does not depend on how torch bundles them.
        return torch.optim.AdamW(
            torch_groups(groups, config.learning_rate, config.weight_decay),
            betas=(config.beta1, config.beta2),
            eps=config.epsilon,
            fused=True,
        )


class Sgd:
    """Gradient descent of torch."""

    def __init__(self, config: SgdConfig, context: Context) -> None:
        self.config = config

    def make(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer."""
        config = self.config
        return torch.optim.SGD(
            torch_groups(groups, config.learning_rate, config.weight_decay),
            momentum=config.momentum,
            nesterov=config.nesterov,
            foreach=False,
        )


class Adafactor:
    """Adafactor of transformers; of a matrix the state is a row and a column (Shazeer and Stern, 2018, algorithm 4)."""

    def __init__(self, config: AdafactorConfig, context: Context) -> None:
        self.config = config

    def make(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer."""
        config = self.config
        return _factored(
            torch_groups(groups, config.learning_rate, config.weight_decay),
            eps=(config.epsilon, config.least_scale),
            clip_threshold=config.clip,
            decay_rate=config.decay_rate,
            scale_parameter=config.scale_parameter,
            relative_step=False,
        )


def _factored(groups: list[dict[str, Any]], **options: Any) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor as _library

    library: Any = _library  # its functions have no types

    class Factored(library):  # type: ignore[misc]
        """Adafactor whose state is tensors alone, so that it can be written."""

        def step(self, closure: Any = None) -> Any:
            """Take a step."""
            for state in self.state.values():
                state["step"] = int(state["step"])
            made = super().step(closure)
            for state in self.state.values():
                state["step"] = torch.tensor(float(state["step"]))
                # It is made anew from the weights at each step.
                state["RMS"] = torch.as_tensor(state["RMS"]).clone()
            return made

    Factored.__name__ = "Adafactor"
    optimizer: Any = Factored
    made: torch.optim.Optimizer = optimizer(groups, lr=None, **options)
    return made


def torch_groups(groups: Sequence[ParameterGroup], learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return groups as torch's optimizers take them, each with its own learning rate and weight decay."""
    return [
        {
            "params": list(group.parameters.values()),
            "lr": learning_rate * group.rate,
            "weight_decay": weight_decay if group.decay is None else group.decay,
        }
        for group in groups
    ]


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes that an optimizer keeps beside parameters and gradients."""
    kept = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.numel() * value.element_size() for value in kept if isinstance(value, torch.Tensor))


def group_parameters(
    model: nn.Module, rules: Sequence[Group], strict: bool = True
) -> list[tuple[Group | None, ParameterGroup]]:
    """Sort the trained parameters of a model into groups: the first rule that fits takes one; the rest comes last.

    Parameters of frozen groups stop being trained, and are in no group.

    Args:
        strict: whether a rule must fit a parameter.

    Raises:
        UsageError: a rule fits no parameter that an earlier one has not taken, or nothing is left to train.
    """
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    blocks = {name: int(at[-1]) for name in trained if (at := _BLOCK.findall(name))}
    count = max(blocks.values(), default=-1) + 1
    found: list[tuple[Group | None, ParameterGroup]] = []
    for number, rule in enumerate(rules):
        wrong = [layer for layer in rule.layers if not -count <= layer < count]
        if wrong:
            raise UsageError(f"optimizer.groups[{number}]: there is no block {wrong[0]}; the model has {count}")
        layers = {layer % count for layer in rule.layers}
        taken = {
            name: parameter
            for name, parameter in trained.items()
            if rule.shape in ("any", _shape(parameter, tables))
            and (not rule.names or any(fnmatchcase(name, pattern) for pattern in rule.names))
            and (not rule.layers or blocks.get(name) in layers)
        }
        if not taken and not strict:
            continue
        if not taken:
            near = ", ".join(list(trained)[:3])
            raise UsageError(f"optimizer.groups[{number}] fits none of the parameters left, such as {near}")
        trained = {name: parameter for name, parameter in trained.items() if name not in taken}
        if rule.frozen:
            for parameter in taken.values():
                parameter.requires_grad_(False)
            continue
        found.append((rule, ParameterGroup(f"groups[{number}]", taken, rule.rate, rule.weight_decay)))
    if trained:
        found.append((None, ParameterGroup("rest", trained)))
    if not found:
        raise UsageError("optimizer.groups: every parameter is frozen, and nothing is left to train")
    return found


def _shape(parameter: nn.Parameter, tables: set[int]) -> str:
    if parameter.ndim < 2:
        return "vectors"
    return "embeddings" if id(parameter) in tables else "matrices"


def describe_groups(groups: Sequence[tuple[Group | None, ParameterGroup]]) -> list[Mapping[str, Any]]:
    """Return what a report says of the groups."""
    return [
        {
            "name": group.name,
            "tensors": len(group.parameters),
            "parameters": sum(p.numel() for p in group.parameters.values()),
            "rate": group.rate,
        }
        for _, group in groups
    ]

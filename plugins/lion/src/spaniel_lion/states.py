"""What optimizers keep, and what tensors they refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from spaniel import UsageError
from torch import Tensor


def given_states(
    optimizer: torch.optim.Optimizer, state_dict: Mapping[str, Any]
) -> Iterator[tuple[Tensor, dict[str, Any], Mapping[str, Any]]]:
    """Yield each parameter that a state speaks of, its group, and what was kept for it, as it was before torch loaded it.

    Parameters are matched by their places, as torch does.
    """
    numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
    owners = [(weight, group) for group in optimizer.param_groups for weight in group["params"]]
    for number, (weight, group) in zip(numbers, owners, strict=True):
        if number in state_dict["state"]:
            yield weight, group, state_dict["state"][number]


def check_tensors(who: str, groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise where a parameter with a gradient cannot be stepped.

    Raises:
        UsageError: a gradient is sparse, or a parameter complex.
    """
    for weight in (p for group in groups for p in group["params"] if p.grad is not None):
        if weight.grad.layout != torch.strided:
            raise UsageError(f"{who} takes no sparse gradients; make the embedding with sparse=False")
        if weight.is_complex():
            raise UsageError(f"{who} takes no complex parameters: they have no order and no sign")

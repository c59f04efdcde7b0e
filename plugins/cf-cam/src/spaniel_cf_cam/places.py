"""What layers of image classifiers give: maps of channels, or tokens that are places."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

_MARKS = 8
"""Tokens that are no places, at the most: of the class, of distillation, registers."""


def logits_of(output: Any) -> Tensor:
    """Return the logits, ``(n, classes)``, of what a classifier gave."""
    made: Tensor = output.logits if hasattr(output, "logits") else output
    return made


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor that a layer gave, or the first of several."""
    found = output[0] if isinstance(output, tuple) and output else output
    return found if isinstance(found, Tensor) else None


def with_first_tensor(output: Any, tensor: Tensor) -> Any:
    """Return what a layer gave with another first tensor."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


def grid(hidden: Tensor) -> tuple[int, int] | None:
    """Return the height and width of a layer's places; ``None``: it has none.

    A layer gives ``(n, channels, height, width)``, or a vision transformer's ``(n, tokens, channels)``: a square of places
    behind a few tokens that are none.
    """
    if hidden.dim() == 4:
        return int(hidden.shape[2]), int(hidden.shape[3])
    if hidden.dim() != 3 or hidden.shape[2] < 2:
        return None
    side = math.isqrt(hidden.shape[1])
    return (side, side) if side and hidden.shape[1] - side**2 <= _MARKS else None


def places(hidden: Tensor) -> Tensor:
    """Return a layer's output by channel and place: ``(n, channels, places)``."""
    if hidden.dim() == 4:
        return hidden.flatten(2)
    side = math.isqrt(hidden.shape[1])
    return hidden[:, hidden.shape[1] - side**2 :].transpose(1, 2)

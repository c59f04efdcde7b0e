"""The functions of programs over numbers and over lists of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spaniel_lion.programs.signature import Rank

Value = Any
"""A number for a scalar, a list of tensors for what has the rank of leaves or of a tree."""
Work = Callable[..., Value]
LISTS = (list, tuple)
"""What calls over many tensors give and take."""
_EPSILON = 1e-8
"""Added to every denominator, as in the reference."""


def _each(function: Callable[[Tensor], Tensor]) -> Work:
    return lambda xs: [function(x) for x in xs]


_LISTS: dict[str, Work] = {
    "abs": torch._foreach_abs,
    "cos": torch._foreach_cos,
    "sin": torch._foreach_sin,
    "tan": torch._foreach_tan,
    "arcsin": torch._foreach_asin,
    "arccos": torch._foreach_acos,
    "arctan": torch._foreach_atan,
    "sinh": torch._foreach_sinh,
    "cosh": torch._foreach_cosh,
    "tanh": torch._foreach_tanh,
    "arcsinh": _each(torch.asinh),
    "arccosh": _each(torch.acosh),
    "arctanh": _each(torch.atanh),
    "exp": torch._foreach_exp,
    "exp2": _each(torch.exp2),
    "exp10": lambda xs: torch._foreach_pow(10.0, xs),
    "expm1": torch._foreach_expm1,
    "log": lambda xs: torch._foreach_log(torch._foreach_abs(xs)),
    "log10": lambda xs: torch._foreach_log10(torch._foreach_abs(xs)),
    "log2": lambda xs: torch._foreach_log2(torch._foreach_abs(xs)),
    "log1p": lambda xs: torch._foreach_log(torch._foreach_abs(torch._foreach_add(xs, 1.0))),
    "square": lambda xs: torch._foreach_mul(xs, xs),
    "sqrt": lambda xs: torch._foreach_sqrt(torch._foreach_abs(xs)),
    "cube": lambda xs: torch._foreach_mul(torch._foreach_mul(xs, xs), xs),
    "cbrt": lambda xs: [x.sign() * x.abs().pow(1 / 3) for x in xs],
    "sign": torch._foreach_sign,
    "reciprocal": torch._foreach_reciprocal,
    "negative": torch._foreach_neg,
    "norm": torch._foreach_norm,
}
_NUMBERS: dict[str, Work] = {
    **{name: getattr(np, name) for name in _LISTS if hasattr(np, name)},
    "exp10": lambda x: np.power(10.0, x),
    "log": lambda x: np.log(np.abs(x)),
    "log10": lambda x: np.log10(np.abs(x)),
    "log2": lambda x: np.log2(np.abs(x)),
    "log1p": lambda x: np.log(np.abs(1 + x)),
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "cube": lambda x: x * x * x,
    "norm": np.abs,
    "get_pi": lambda: math.pi,
    "get_e": lambda: math.e,
    "get_eps": lambda: _EPSILON,
}


def _clip(x: Value, bound: float, is_list: bool) -> Value:
    if is_list:
        return torch._foreach_clamp_max(torch._foreach_clamp_min(x, -bound), bound)
    return np.minimum(np.maximum(x, -bound), bound)


def _total(xs: Sequence[Tensor]) -> Any:
    return np.float64(torch.stack([x.sum() for x in xs]).sum().item())


def _dot(xs: Value, ys: Value) -> Any:
    return _total(torch._foreach_mul(xs, ys)) if isinstance(xs, LISTS) else xs * ys


def _global_norm(x: Value) -> Any:
    if not isinstance(x, LISTS):
        return np.abs(x)
    return np.float64(torch.stack(torch._foreach_norm(x)).norm().item())


def _interp(x: Value, y: Value, weight: float) -> Value:
    # Two lists of like shapes take two calls; whatever else there is, is broadcast.
    left = binary("*", x, 1 - weight)
    if isinstance(x, LISTS) and isinstance(y, LISTS):
        return torch._foreach_add(left, y, alpha=weight)
    return binary("+", left, binary("*", y, weight))


def _power(x: Value, y: Value) -> Value:
    if isinstance(x, LISTS) or isinstance(y, LISTS):
        return torch._foreach_pow(x, y)
    return np.power(np.float64(x), y)


def binary(function: str, x: Value, y: Value) -> Value:
    """Return the result of + - * / max min, numbers and lists of tensors in any places."""
    if function == "-":
        negative = torch._foreach_neg(y) if isinstance(y, LISTS) else -y
        return (
            binary("+", x, negative)
            if not isinstance(y, LISTS) or not isinstance(x, LISTS)
            else torch._foreach_sub(x, y)
        )
    if function == "/":
        below = binary("+", y, _EPSILON)
        if isinstance(x, LISTS):
            return torch._foreach_div(x, below)
        return binary("*", torch._foreach_reciprocal(below), x) if isinstance(y, LISTS) else np.float64(x) / below
    if not isinstance(x, LISTS):
        x, y = y, x  # the four that are left commute
    if not isinstance(x, LISTS):
        return _NUMBER_SIGNS[function](x, y)
    return _LIST_SIGNS[function](x, y)


_LIST_SIGNS: dict[str, Work] = {
    "+": torch._foreach_add,
    "*": torch._foreach_mul,
    "max": torch._foreach_maximum,
    "min": torch._foreach_minimum,
}
_NUMBER_SIGNS: dict[str, Work] = {
    "+": lambda x, y: x + y,
    "*": lambda x, y: x * y,
    "max": np.maximum,
    "min": np.minimum,
}


def work_of(function: str, ranks: Sequence[Rank]) -> Work:
    """Return what computes a function for arguments of these ranks."""
    if function in ("+", "-", "*", "/", "max", "min"):
        return lambda x, y: binary(function, x, y)
    is_list = bool(ranks) and ranks[0] != Rank.SCALAR
    if function in _LISTS and is_list:
        # The norm of one number is its absolute value, which is what a list of numbers gives, too.
        return _LISTS[function]
    if function in _NUMBERS and not is_list:
        return _NUMBERS[function]
    rest: dict[str, Work] = {
        "clip": lambda x, bound: _clip(x, bound, is_list),
        "interp": _interp,
        "power": _power,
        "dot": _dot,
        "global_norm": _global_norm,
        "cosine_sim": lambda x, y: _dot(x, y) / (np.float64(_global_norm(x)) * _global_norm(y)),
        "clip_by_global_norm": lambda x, bound: binary("*", x, np.minimum(1.0, bound / np.float64(_global_norm(x)))),
    }
    return rest[function]

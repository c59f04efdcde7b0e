"""The functions of programs, and the ranks that they take and give (appendix H of the paper; 43 of the 45 functions, and
``clip``, which the published programs use).

Of the 45, ``invert`` flips bits, which floating numbers do not have, so that no program with it was ever valid;
``interpolate`` is written ``interp``, as in the paper's programs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from spaniel_lion.programs.signature import Rank

Rule = Callable[..., Rank | None]


class Function(NamedTuple):
    """A function.

    Attributes:
        arity: number of arguments.
        rule: ranks of the arguments → rank of the result, ``None`` where it does not take them.
        commutes: whether its first two arguments can change places without changing a bit.
    """

    arity: int
    rule: Rule
    commutes: bool = False


def _constant() -> Rank:
    return Rank.SCALAR


def _same(x: Rank) -> Rank:
    return x


def _norm(x: Rank) -> Rank:
    return min(x, Rank.LEAVES)


def _scalar(x: Rank) -> Rank:
    return Rank.SCALAR


def _broadcast(x: Rank, y: Rank) -> Rank:
    return max(x, y)


def _alike(x: Rank, y: Rank) -> Rank | None:
    return Rank.SCALAR if x == y else None


def _bounded(x: Rank, bound: Rank) -> Rank | None:
    return x if bound == Rank.SCALAR else None


def _weighted(x: Rank, y: Rank, weight: Rank) -> Rank | None:
    return max(x, y) if weight == Rank.SCALAR else None


CONSTANTS = ("get_pi", "get_e", "get_eps")
UNARY = (
    "abs", "cos", "sin", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh",
    "exp", "exp2", "exp10", "expm1", "log", "log10", "log2", "log1p", "square", "sqrt", "cube", "cbrt", "sign",
    "reciprocal", "negative",
)  # fmt: skip
"""They work element by element. ``sqrt``, ``log``, ``log2`` and ``log10`` take the absolute value first, ``log1p`` is
log |1 + x|."""

FUNCTIONS: dict[str, Function] = {
    **{name: Function(0, _constant) for name in CONSTANTS},
    **{name: Function(1, _same) for name in UNARY},
    "norm": Function(1, _norm),
    "global_norm": Function(1, _scalar),
    "interp": Function(3, _weighted),
    "dot": Function(2, _alike, commutes=True),
    "cosine_sim": Function(2, _alike, commutes=True),
    "clip_by_global_norm": Function(2, _bounded),
    "clip": Function(2, _bounded),
    "power": Function(2, _broadcast),
    "+": Function(2, _broadcast, commutes=True),
    "-": Function(2, _broadcast),
    "*": Function(2, _broadcast, commutes=True),
    "/": Function(2, _broadcast),
    "max": Function(2, _broadcast, commutes=True),
    "min": Function(2, _broadcast, commutes=True),
}
"""``interp(x, y, a)`` is (1 - a) x + a y; ``x / y`` is x / (y + 1e-8); ``clip(x, b)`` cuts to what lies from -b to b."""

WHOLE = frozenset({"norm", "global_norm", "dot", "cosine_sim", "clip_by_global_norm"})
"""Functions that look at whole tensors; all others go number by number."""


@cache
def rank_of(function: str, ranks: tuple[Rank, ...]) -> Rank | None:
    """Return the rank of what a function makes of arguments with these ranks; ``None`` where it does not take them."""
    found = FUNCTIONS[function]
    return found.rule(*ranks) if len(ranks) == found.arity else None

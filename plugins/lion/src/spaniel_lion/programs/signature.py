"""What goes into a program and what comes out of it, with ranks in place of shapes."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Rank(IntEnum):
    """The shape of a value, as far as programs can tell shapes apart: the higher of two is that of what both make.

    All arrays of a tree have the shapes of the parameters, and all numbers are floating, so three ranks decide what
    inference of shapes and types would.
    """

    SCALAR = 0
    """one number"""
    LEAVES = 1
    """one number for each parameter tensor"""
    TREE = 2
    """a tensor like each parameter tensor"""


class Signature(NamedTuple):
    """The inputs and outputs of a program.

    Attributes:
        inputs: name → rank.
        returns: name → rank; the variables that hold the outputs in the end.
        states: inputs that are outputs, too: the next step begins with what this one returns.
        is_local: whether programs may only have functions that go number by number, so that what stands beside a number
            does not change what becomes of it.
    """

    inputs: dict[str, Rank]
    returns: dict[str, Rank]
    states: tuple[str, ...] = ()
    is_local: bool = False


OPTIMIZER = Signature(
    {"w": Rank.TREE, "g": Rank.TREE, "m": Rank.TREE, "v": Rank.TREE, "lr": Rank.SCALAR},
    {"update": Rank.TREE, "m": Rank.TREE, "v": Rank.TREE},
    ("m", "v"),
)
"""``train(w, g, m, v, lr) → update, m, v``: weights, gradients, two states that are zero in the beginning, the learning
rate; the step is ``w ← w - update`` (program 1 of the paper)."""

RANKING = Signature(
    {
        "tf": Rank.TREE,
        "dl": Rank.TREE,
        "df": Rank.TREE,
        "qtf": Rank.TREE,
        "al": Rank.SCALAR,
        "n": Rank.SCALAR,
    },
    {"score": Rank.TREE},
    is_local=True,
)
"""``score(tf, dl, df, qtf, al, n) → score``: for a word of the query in a document how often it occurs there, the length of
the document, in how many documents it occurs, and how often in the query; the mean length, and the number of documents. A
document scores the sum over the words of the query that it holds."""

SIGNATURES = {"optimizer": OPTIMIZER, "ranking": RANKING}

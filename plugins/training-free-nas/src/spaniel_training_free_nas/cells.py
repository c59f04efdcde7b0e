"""How cells are drawn, changed and crossed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from spaniel import UsageError

from spaniel_training_free_nas import recipes
from spaniel_training_free_nas.recipes import BEFORE, INPUT, NEW, OPS, Recipe

_TRIES = 50
_ACTIVATIONS = tuple(op for op in OPS if op.startswith("activation"))
_FEWEST = 4


class Limits(NamedTuple):
    """What cells may be: how many nodes and states, and whether their states stay bounded."""

    nodes: int = 24
    states: int = 3
    bounded: bool = True

    def allow(self, cell: Recipe) -> bool:
        """Whether a cell keeps to the limits."""
        try:
            recipes.validate(cell, self.nodes, self.states)
        except UsageError:
            return False
        return not self.bounded or recipes.is_bounded(cell)


def sample(rng: np.random.Generator, limits: Limits) -> Recipe:
    """Draw a cell: nodes one behind the other, each with inputs among those before it, then states from the last ones.

    The first nodes are linears of the input and the states; what no state depends on is left out. The cells are other ones
    than those of NAS-Bench-NLP, whose generator is not described in full.
    """
    while True:
        count = int(rng.integers(1, limits.states + 1))
        size = int(rng.integers(_FEWEST, max(_FEWEST, limits.nodes - count) + 1))
        made = _draw(rng, count, size)
        if limits.bounded and not recipes.is_bounded(made):
            made = _calmed(made)
        if limits.allow(made):
            return made


def _draw(rng: np.random.Generator, count: int, size: int) -> Recipe:
    made: Recipe = {}
    before = [f"{BEFORE}{at}" for at in range(count)]
    inner: list[str] = []
    for at in range(size):
        name = f"n{at}"
        if at < 2:
            inputs = [INPUT, before[int(rng.integers(count))]]
            made[name] = {"op": "linear", "input": inputs}
        else:
            made[name] = _any_node(rng, [*inner, *before], inner[-1])
        inner.append(name)
    for at in range(count):
        made[f"{NEW}{at}"] = _any_node(rng, [*inner, *before], inner[-1 - at % len(inner)])
    return recipes.without_idle(made)


def _calmed(cell: Recipe) -> Recipe:
    """Return a cell whose states pass a tanh more."""
    made = {}
    for name, node in cell.items():
        if name.startswith(NEW):
            made[f"s{name.removeprefix(NEW)}"] = node
            made[name] = {"op": "activation_tanh", "input": [f"s{name.removeprefix(NEW)}"]}
        else:
            made[name] = node
    return made


def _any_node(rng: np.random.Generator, sources: list[str], first: str) -> dict[str, Any]:
    """Return a node that reads ``first``, and others among the sources."""
    op = list(OPS)[int(rng.integers(len(OPS)))]
    least, most = OPS[op]
    wanted = int(rng.integers(least, most + 1))
    others = [one for one in sources if one != first]
    picked = [others[at] for at in rng.choice(len(others), min(wanted - 1, len(others)), replace=False)]
    if op == "linear" and len(picked) < most - 1 and rng.random() < 0.5:
        picked.append(INPUT)
    inputs = [first, *picked]
    if len(inputs) < least:
        return {"op": "activation_tanh", "input": [first]}
    return {"op": op, "input": [inputs[at] for at in rng.permutation(len(inputs))]}


def mutate(cell: Recipe, rng: np.random.Generator, limits: Limits) -> Recipe:
    """Return a cell with one change: an operation, an input, a node more, or a node less."""
    moves: tuple[Callable[[Recipe, np.random.Generator], Recipe], ...] = (_operation, _input, _insert, _remove)
    before = recipes.canonical(cell)
    for _ in range(_TRIES):
        made = moves[int(rng.integers(len(moves)))](_copy(cell), rng)
        if limits.allow(made) and recipes.canonical(made) != before:
            return made
    return sample(rng, limits)


def cross(first: Recipe, second: Recipe, rng: np.random.Generator, limits: Limits) -> Recipe:
    """Return the first cell with a node, and all that it depends on, replaced by one of the second."""
    count = recipes.states(first)
    for _ in range(_TRIES):
        target, source = (_pick(rng, list(one)) for one in (first, second))
        brought: Recipe = {}
        for name in recipes.ancestors(second, source):
            if name in second:
                brought[f"{name}+"] = {
                    "op": second[name]["op"],
                    "input": [_renamed(one, second, count) for one in second[name]["input"]],
                }
        made = {**_copy(first), **brought}
        made[target] = brought.pop(f"{source}+")
        made.pop(f"{source}+", None)
        tidy = recipes.without_idle(_plainly(made))
        if limits.allow(tidy):
            return tidy
    return _copy(first)


def _renamed(name: str, cell: Recipe, count: int) -> str:
    if name in cell:
        return f"{name}+"
    # A cell with fewer states reads its first ones in the place of those it lacks.
    return f"{BEFORE}{int(name.removeprefix(BEFORE)) % count}" if name.startswith(BEFORE) else name


def _plainly(cell: Recipe) -> Recipe:
    """Return a cell whose brought nodes have names of their own that are free."""
    names = {name: name for name in cell}
    free = (f"n{at}" for at in range(len(cell) * 2 + len(names)))
    for name in cell:
        if name.endswith("+"):
            names[name] = next(one for one in free if one not in cell)
    return {
        names[name]: {"op": node["op"], "input": [names.get(one, one) for one in node["input"]]}
        for name, node in cell.items()
    }


def _operation(cell: Recipe, rng: np.random.Generator) -> Recipe:
    node = cell[_pick(rng, list(cell))]
    fitting = [op for op, (least, most) in OPS.items() if least <= len(node["input"]) <= most and op != node["op"]]
    if fitting:
        node["op"] = _pick(rng, fitting)
    return recipes.without_idle(cell)


def _input(cell: Recipe, rng: np.random.Generator) -> Recipe:
    node = cell[_pick(rng, list(cell))]
    sources = [*cell, *(f"{BEFORE}{at}" for at in range(recipes.states(cell)))]
    node["input"][int(rng.integers(len(node["input"])))] = _pick(rng, sources)
    return recipes.without_idle(cell)


def _insert(cell: Recipe, rng: np.random.Generator) -> Recipe:
    name = next(f"n{at}" for at in range(len(cell) + 1) if f"n{at}" not in cell)
    node = cell[_pick(rng, list(cell))]
    at = int(rng.integers(len(node["input"])))
    op = "linear" if node["input"][at] == INPUT else _pick(rng, [*_ACTIVATIONS, "linear"])
    cell[name] = {"op": op, "input": [node["input"][at]]}
    node["input"][at] = name
    return cell


def _remove(cell: Recipe, rng: np.random.Generator) -> Recipe:
    inner = [name for name in cell if not name.startswith(NEW)]
    if not inner:
        return cell
    gone = _pick(rng, inner)
    heir = _pick(rng, cell.pop(gone)["input"])
    for node in cell.values():
        node["input"] = [heir if one == gone else one for one in node["input"]]
    return recipes.without_idle(cell)


def _copy(cell: Recipe) -> Recipe:
    return {name: {"op": node["op"], "input": list(node["input"])} for name, node in cell.items()}


def _pick(rng: np.random.Generator, values: list[str]) -> str:
    return values[int(rng.integers(len(values)))]

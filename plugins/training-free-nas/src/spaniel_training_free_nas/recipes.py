"""Cells of recurrent networks as graphs, in the format of NAS-Bench-NLP (Klyuchnikov et al. 2020, section 3); no torch.

A candidate is ``{node: {"op": operation, "input": [nodes]}, …}``. Besides its own nodes there are ``x``, the input, and
``h_prev_0`` …, the states before the step; ``h_new_0`` … are the states after it, of which the first is the output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from spaniel import UsageError

Recipe = dict[str, dict[str, Any]]
OPS: Mapping[str, tuple[int, int]] = {
    "linear": (1, 3),
    "blend": (3, 3),
    "elementwise_prod": (2, 3),
    "elementwise_sum": (2, 3),
    "activation_tanh": (1, 1),
    "activation_sigm": (1, 1),
    "activation_leaky_relu": (1, 1),
}
"""Operations, with the least and the largest number of inputs. A blend is ``a b + (1 - a) c``."""
COMMUTATIVE = ("elementwise_prod", "elementwise_sum")
NEW, BEFORE, INPUT = "h_new_", "h_prev_", "x"


def _node(op: str, *inputs: str) -> dict[str, Any]:
    return {"op": op, "input": list(inputs)}


SEEDS: Mapping[str, Recipe] = {
    "rnn": {"i": _node("linear", "x", "h_prev_0"), "h_new_0": _node("activation_tanh", "i")},
    "gru": {
        "z_in": _node("linear", "x", "h_prev_0"),
        "z": _node("activation_sigm", "z_in"),
        "r_in": _node("linear", "x", "h_prev_0"),
        "r": _node("activation_sigm", "r_in"),
        "reset": _node("linear", "h_prev_0"),
        "kept": _node("elementwise_prod", "r", "reset"),
        "g_x": _node("linear", "x"),
        "g_in": _node("elementwise_sum", "g_x", "kept"),
        "g": _node("activation_tanh", "g_in"),
        "h_new_0": _node("blend", "z", "h_prev_0", "g"),
    },
    "lstm": {
        "i_in": _node("linear", "x", "h_prev_0"),
        "i": _node("activation_sigm", "i_in"),
        "f_in": _node("linear", "x", "h_prev_0"),
        "f": _node("activation_sigm", "f_in"),
        "g_in": _node("linear", "x", "h_prev_0"),
        "g": _node("activation_tanh", "g_in"),
        "o_in": _node("linear", "x", "h_prev_0"),
        "o": _node("activation_sigm", "o_in"),
        "kept": _node("elementwise_prod", "f", "h_prev_1"),
        "added": _node("elementwise_prod", "i", "g"),
        "h_new_1": _node("elementwise_sum", "kept", "added"),
        "shown": _node("activation_tanh", "h_new_1"),
        "h_new_0": _node("elementwise_prod", "o", "shown"),
    },
}
"""The classic cells: Elman's, Cho et al.'s (2014, in the form of cuDNN), Hochreiter and Schmidhuber's (1997)."""


def states(recipe: Mapping[str, Any]) -> int:
    """Return how many states a cell has."""
    return sum(name.startswith(NEW) for name in recipe)


def order(recipe: Mapping[str, Any]) -> list[str]:
    """Return the nodes so that each stands behind its inputs.

    Raises:
        UsageError: there is a circle.
    """
    made: list[str] = []
    done: set[str] = set()
    waiting: set[str] = set()
    stack = sorted(recipe, reverse=True)
    while stack:
        name = stack[-1]
        if name in done or name not in recipe:
            stack.pop()
            continue
        left = [one for one in recipe[name]["input"] if one in recipe and one not in done]
        if not left:
            done.add(name)
            waiting.discard(name)
            made.append(stack.pop())
            continue
        if name in waiting and any(one in waiting for one in left):
            raise UsageError(f"the cell has a circle through {name!r}")
        waiting.add(name)
        stack += sorted(left, reverse=True)
    return made


def ancestors(recipe: Mapping[str, Any], name: str) -> set[str]:
    """Return all that a node depends on, itself included."""
    found: set[str] = set()
    stack = [name]
    while stack:
        one = stack.pop()
        if one not in found:
            found.add(one)
            stack += recipe[one]["input"] if one in recipe else []
    return found


def is_bounded(recipe: Recipe) -> bool:
    """Whether the states stay bounded, however long the text: made of gates, and of what passes a tanh or a sigmoid.

    Within a step products may still be large. A state from the step before counts where a sigmoid gates it, in a product
    or a blend, as in the LSTM and the GRU.
    """
    tame: dict[str, bool] = {}
    for name in order(recipe):
        op, inputs = recipe[name]["op"], recipe[name]["input"]
        gates = [one for one in inputs if recipe.get(one, {}).get("op") == "activation_sigm"]
        kept = [tame.get(one, False) or one.startswith(BEFORE) for one in inputs]
        calm = [tame.get(one, False) for one in inputs]
        past = sum(one.startswith(BEFORE) for one in inputs)
        tame[name] = (
            op in ("activation_tanh", "activation_sigm")
            or (op == "blend" and inputs[0] in gates and all(kept[1:]))
            or (op == "elementwise_prod" and (all(calm) or (past == 1 and bool(gates) and all(kept))))
            or (op == "elementwise_sum" and all(calm))
        )
    return all(tame[name] for name in recipe if name.startswith(NEW))


def without_idle(recipe: Recipe) -> Recipe:
    """Return a cell without the nodes that no state depends on."""
    used: set[str] = set().union(*(ancestors(recipe, name) for name in recipe if name.startswith(NEW)))
    return {name: {"op": node["op"], "input": list(node["input"])} for name, node in recipe.items() if name in used}


def validate(recipe: Any, most_nodes: int, most_states: int) -> None:
    """Check a cell: its nodes, their numbers of inputs, that it has no circle, and that its output sees input and past.

    Raises:
        UsageError: what is wrong.
    """
    if not isinstance(recipe, dict) or not recipe or len(recipe) > most_nodes:
        raise UsageError(f"a cell is a mapping of 1 to {most_nodes} nodes, not {_short(recipe)}")
    if not all(isinstance(name, str) and name for name in recipe):
        raise UsageError("names of nodes are texts")
    count = states(recipe)
    if not 1 <= count <= most_states or any(f"{NEW}{at}" not in recipe for at in range(count)):
        raise UsageError(f"a cell has the states {NEW}0 to {NEW}{most_states - 1} at most, without gaps")
    known = {INPUT, *recipe, *(f"{BEFORE}{at}" for at in range(count))}
    for name, node in recipe.items():
        if name == INPUT or name.startswith(BEFORE):
            raise UsageError(f"{name!r} is no node's name: it is what goes in")
        _check_node(name, node, known)
    order(recipe)
    idle = set(recipe) - set(without_idle(recipe))
    if idle:
        raise UsageError(f"no state depends on {sorted(idle)[0]!r}")
    seen = ancestors(recipe, f"{NEW}0")
    for needed in (INPUT, f"{BEFORE}0"):
        if needed not in seen:
            raise UsageError(f"the output {NEW}0 does not depend on {needed}")
    if not any(node["op"] == "linear" and INPUT in node["input"] for node in recipe.values()):
        raise UsageError("the input passes no linear")
    if any(INPUT in node["input"] and node["op"] != "linear" for node in recipe.values()):
        raise UsageError("the input, which has a width of its own, goes into a linear")


def _check_node(name: str, node: Any, known: set[str]) -> None:
    if not isinstance(node, dict) or set(node) != {"op", "input"} or not isinstance(node["input"], list):
        raise UsageError(f"node {name!r} has op and input, not {_short(node)}")
    if node["op"] not in OPS:
        raise UsageError(f"node {name!r} has the operation {node['op']!r}; there are {', '.join(OPS)}")
    least, most = OPS[node["op"]]
    if not least <= len(node["input"]) <= most:
        raise UsageError(f"{node['op']} of {name!r} takes {least} to {most} inputs, not {len(node['input'])}")
    for one in node["input"]:
        if not isinstance(one, str) or one not in known:
            raise UsageError(f"node {name!r} has the input {one!r}, which is not there")


def canonical(recipe: Recipe) -> Recipe:
    """Return a cell with its inner nodes renamed and ordered by what they compute, inputs of sums and products sorted.

    Two cells that differ in names and in the order of commutative inputs have one form.
    """
    colours = _colours(recipe)
    names: dict[str, str] = {}
    renamed: Recipe = {}
    outs = [f"{NEW}{at}" for at in range(states(recipe))]

    def visit(name: str) -> None:
        if name in names or name not in recipe:
            return
        node = recipe[name]
        inputs = node["input"]
        if node["op"] in COMMUTATIVE:
            inputs = sorted(inputs, key=lambda one: (colours[one], one not in names, names.get(one, one)))
        for one in inputs:
            visit(one)
        names[name] = name if name in outs else f"n{sum(not known.startswith(NEW) for known in names.values())}"
        renamed[names[name]] = {"op": node["op"], "input": [names.get(one, one) for one in inputs]}

    for out in outs:
        visit(out)
    for node in renamed.values():
        if node["op"] in COMMUTATIVE:
            node["input"].sort()
    return dict(sorted(renamed.items()))


def _colours(recipe: Recipe) -> dict[str, str]:
    """Return, for each node and input, a digest of all that it is made of and of all that it goes into.

    Colours are refined as often as there are nodes (Weisfeiler and Leman 1968); nodes that still have one are alike.
    """
    readers: dict[str, list[tuple[str, int]]] = {}
    for name, node in recipe.items():
        for at, one in enumerate(node["input"]):
            readers.setdefault(one, []).append((name, 0 if node["op"] in COMMUTATIVE else at))
    # What goes in, and the states, are told apart by their names.
    colours = {one: f"={one}" for one in readers if one not in recipe}
    colours |= {name: f"={name}" if name.startswith(NEW) else node["op"] for name, node in recipe.items()}
    for _ in recipe:
        told = {}
        for name, colour in colours.items():
            node = recipe.get(name, {"op": "", "input": []})
            inputs = [colours[one] for one in node["input"]]
            above = sorted((colours[reader], at) for reader, at in readers.get(name, []))
            told[name] = [colour, node["op"], sorted(inputs) if node["op"] in COMMUTATIVE else inputs, above]
        colours = {name: hashlib.sha256(json.dumps(seen).encode()).hexdigest() for name, seen in told.items()}
    return colours


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) < 80 else told[:77] + "…"

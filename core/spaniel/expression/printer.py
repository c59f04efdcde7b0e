"""Expression → text that parses to the same expression."""

from __future__ import annotations

import json

from spaniel.expression.tree import CUT, HOLE, NAME, RESERVED, Chain, Expression, Hole, Node, Stage, Value, is_sum


def print_expression(node: Expression) -> str:
    """Return the text; ``parse`` of it is equal to ``node``."""
    if isinstance(node, Chain):
        return _chain(node)
    return _sum(node) if is_sum(node) else _call(node)


def _chain(chain: Chain) -> str:
    parts: list[tuple[str, bool]] = []
    for stage in chain.stages:
        k = stage.options.get("k")
        if parts and stage.name == CUT and not stage.inputs and set(stage.options) == {"k"} and type(k) is int:
            before, needs_parentheses = parts[-1]
            parts[-1] = (f"({before}) % {k}" if needs_parentheses else f"{before} % {k}", False)
        else:
            parts.append((print_expression(stage), is_sum(stage)))
    return " >> ".join(text for text, _ in parts)


def _sum(stage: Stage) -> str:
    weights = stage.options["weights"]
    assert isinstance(weights, tuple)
    if any(is_sum(part) for part in stage.inputs):
        # Parsing flattens a sum inside a sum, so this one is written as a call.
        return _call(stage)
    terms = []
    for weight, part in zip(weights, stage.inputs, strict=True):
        printed = f"({_chain(part)})" if isinstance(part, Chain) else _call(part)
        keep = type(weight) is int and weight == 1 and len(weights) > 1
        terms.append(printed if keep else f"{_value(weight)} * {printed}")
    return " + ".join(terms)


def _call(stage: Stage) -> str:
    if isinstance(stage, Hole):
        return _hole(stage)
    arguments = [print_expression(i) for i in stage.inputs]
    arguments += [f"{key}={_value(value)}" for key, value in stage.options.items()]
    return f"{stage.name}({', '.join(arguments)})" if arguments else stage.name


def _hole(hole: Hole) -> str:
    if hole.ends is not None:
        return f"{HOLE}[{hole.ends[0]!r}..{hole.ends[1]!r}{', log' if hole.log else ''}]"
    return HOLE + (hole.kind or (f"[{', '.join(map(_value, hole.choices))}]" if hole.choices else ""))


def _value(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        plain = NAME.fullmatch(value) and value not in RESERVED
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Node):
        return print_expression(value)
    return "[" + ", ".join(_value(v) for v in value) + "]"

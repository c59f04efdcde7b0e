"""Expression ↔ plain data, the form that YAML and JSON hold.

A list is a chain; a mapping with one key is a stage with its options, with ``inputs`` for what it takes by position;
text is parsed::

    - bm25: {k: 1000}
    - rrf: {inputs: [mvp, {monot5: {model: small}}], k: 60}

In an option, where a list is a list, a chain is ``{">>": [first, second]}``.
"""

from __future__ import annotations

from typing import Any

from spaniel.errors import UsageError
from spaniel.expression.parser import parse
from spaniel.expression.tree import INPUTS, MAX_DEPTH, Chain, Expression, Hole, Node, Stage, Value

_CHAIN = ">>"


def from_data(data: Any) -> Expression:
    """Return the expression that plain data describes.

    Raises:
        UsageError: for data of another shape.
    """
    return _expression(data, 0)


def _expression(data: Any, depth: int) -> Expression:
    if depth > MAX_DEPTH:
        raise UsageError(f"a pipeline is nested at most {MAX_DEPTH} levels deep")
    if isinstance(data, Stage | Chain):
        return data
    if isinstance(data, str):
        return parse(data)
    if isinstance(data, list | tuple) and data:
        parts = [_expression(part, depth + 1) for part in data]
        return parts[0] if len(parts) == 1 else Chain(*parts)
    if isinstance(data, dict) and len(data) == 1:
        ((name, options),) = data.items()
        if name == _CHAIN:
            return _expression(options, depth + 1)
        options = {} if options is None else options
        if isinstance(name, str) and isinstance(options, dict) and all(isinstance(key, str) for key in options):
            inputs = options.get(INPUTS, [])
            if isinstance(inputs, list | tuple):
                values = {key: _value(value, depth + 1) for key, value in options.items() if key != INPUTS}
                return Stage(name, *(_expression(i, depth + 1) for i in inputs), **values)
    raise UsageError(f"expected text, a list of stages, or one `name: {{options}}`, not {data!r}")


def _value(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise UsageError(f"a pipeline is nested at most {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return _expression(value, depth)
    if isinstance(value, list | tuple):
        return [_value(v, depth + 1) for v in value]
    return value


def to_data(node: Expression) -> Any:
    """Return plain data from which :func:`from_data` makes an equal expression.

    Raises:
        UsageError: the expression has a hole.
    """
    if isinstance(node, Hole):
        raise UsageError(f"`{node}` is a hole, which has no plain data: only a search takes it")
    if isinstance(node, Chain):
        return [to_data(stage) for stage in node.stages]
    options: dict[str, Any] = {INPUTS: [to_data(i) for i in node.inputs]} if node.inputs else {}
    options |= {key: _plain(value) for key, value in node.options.items()}
    return {node.name: options or None}


def _plain(value: Value) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Chain):
        return {_CHAIN: to_data(value)}
    return to_data(value) if isinstance(value, Node) else value

"""Expression ↔ plain data, the form that YAML and JSON hold.

A list is a chain; a mapping with one key is a stage with its options, with ``inputs`` for what it takes by position;
text is parsed::

    - bm25: {k: 1000}
    - rrf: {inputs: [mvp, {monot5: {model: small}}], k: 60}

In an option, where a list is a list, a chain is ``{">>": [first, second]}``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any, TypeAlias

from spaniel.errors import UsageError
from spaniel.expression.parser import parse
from spaniel.expression.tree import INPUTS, MAX_DEPTH, Chain, Expression, Hole, Node, Stage, Value

_CHAIN = ">>"
Place: TypeAlias = "tuple[str | int, ...]"


class DataFault(UsageError):
    """Plain data of another shape; ``place`` has the keys and positions that lead to it from outside."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def from_data(data: Any) -> Expression:
    """Return the expression that plain data describes.

    Raises:
        DataFault: for data of another shape; a :class:`UsageError` that knows its place.
    """
    return _expression(data, ())


def _expression(data: Any, place: Place) -> Expression:
    if len(place) > 3 * MAX_DEPTH:
        raise DataFault(place, f"a pipeline is nested at most {MAX_DEPTH} levels deep")
    if isinstance(data, Stage | Chain):
        return data
    if isinstance(data, str):
        return _placed(place, parse, data)
    if isinstance(data, list | tuple) and data:
        parts = [_expression(part, (*place, position)) for position, part in enumerate(data)]
        return parts[0] if len(parts) == 1 else _placed(place, Chain, *parts)
    if isinstance(data, dict) and len(data) == 1:
        ((name, options),) = data.items()
        if name == _CHAIN:
            return _expression(options, (*place, name))
        options = {} if options is None else options
        if isinstance(name, str) and isinstance(options, dict) and all(isinstance(key, str) for key in options):
            within = (*place, name)
            inputs = options.get(INPUTS, [])
            if isinstance(inputs, list | tuple):
                values = {key: _value(value, (*within, key)) for key, value in options.items() if key != INPUTS}
                taken = [_expression(part, (*within, INPUTS, position)) for position, part in enumerate(inputs)]
                return _placed(place, Stage, name, *taken, **values)
    shown = reprlib.repr(data)
    raise DataFault(place, f"expected text, a list of stages, or one `name: {{options}}`, not {shown}")


def _placed(place: Place, make: Callable[..., Expression], /, *parts: Any, **options: Any) -> Expression:
    try:
        return make(*parts, **options)
    except UsageError as error:
        raise DataFault(place, str(error)) from error


def _value(value: Any, place: Place) -> Any:
    if len(place) > 3 * MAX_DEPTH:
        raise DataFault(place, f"a pipeline is nested at most {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return _expression(value, place)
    if isinstance(value, list | tuple):
        return [_value(part, (*place, position)) for position, part in enumerate(value)]
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

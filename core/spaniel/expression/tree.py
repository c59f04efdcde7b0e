"""The two nodes of an expression: a stage, and a chain of stages.

The operators are sugar over them, in Python as in text, with Python's precedence::

    a >> b           Chain(a, b)
    a % 50           Chain(a, cut(k=50))
    0.3 * a          weighted(a, weights=[0.3])
    0.3 * a + b      weighted(a, b, weights=[0.3, 1])

A hole, ``?``, stands in an expression for a choice that a search makes; nothing but a search takes one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from spaniel.errors import UsageError

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | Stage | Chain | None"
Span: TypeAlias = tuple[int, int]

_PART = r"[A-Za-z_][A-Za-z0-9_]*(?:[-.][A-Za-z0-9_]+)*"
NAME = re.compile(rf"{_PART}(?:/{_PART})?")
OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = {"true": True, "false": False, "null": None}

WEIGHTED = "weighted"
CUT = "cut"
INPUTS = "inputs"
HOLE = "?"
MAX_DEPTH = 30


class Node:
    """What stages and chains have in common: equality, hashing, printing, operators."""

    __slots__ = ("_depth", "_key", "source", "span")
    _key: tuple[Any, ...]
    _depth: int
    source: str | None
    """The text that this was parsed from, for messages; not part of equality."""
    span: Span
    """Where in ``source`` it stands."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        from spaniel.expression.printer import print_expression

        return print_expression(self)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"parse({str(self)!r})"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order; a stage by itself is a chain of one."""
        raise AssertionError  # both nodes define it

    def __rshift__(self, other: Expression | str) -> Expression:
        return Chain(as_expression(self), as_expression(other))

    def __rrshift__(self, other: str) -> Expression:
        return Chain(as_expression(other), as_expression(self))

    def __mod__(self, k: int) -> Expression:
        return Chain(as_expression(self), Stage(CUT, k=k))

    def __mul__(self, weight: float) -> Stage:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UsageError(f"a weight must be a number, not {weight!r}")
        if any(isinstance(w, Hole) for w, _ in _terms(self)):
            raise UsageError(f"the weights of `{self}` are holes: give each part its one weight")
        return _sum([(weight * w, expression) for w, expression in _terms(self)])

    __rmul__ = __mul__

    def __add__(self, other: Expression | str) -> Stage:
        return _sum(_terms(self) + _terms(as_expression(other)))

    def __radd__(self, other: str) -> Stage:
        return _sum(_terms(as_expression(other)) + _terms(self))


class Stage(Node):
    """One component with its options, and the expressions that it takes as inputs.

    Args:
        name: component name, or ``distribution/name``.
        inputs: expressions given by position (the systems that ``rrf`` fuses).
        options: plain values, lists of them, or expressions.

    Raises:
        UsageError: for a name or value that no expression can hold.
    """

    __slots__ = ("inputs", "name", "option_spans", "options")

    def __init__(self, name: str, /, *inputs: Expression | str, **options: Any) -> None:
        if not NAME.fullmatch(name) or name in RESERVED:
            raise UsageError(
                f"{name!r} is no component name; allowed: letters, digits, _ and - as in `bm25`, `dist/bm25`"
            )
        for option in options:
            if not OPTION.fullmatch(option) or option in RESERVED or option == INPUTS:
                raise UsageError(f"{option!r} is no option name; allowed: letters, digits and _, but not {INPUTS!r}")
        self.name = name
        self.inputs = tuple(as_expression(i) for i in inputs)
        self.options: Mapping[str, Value] = MappingProxyType({key: _freeze(value) for key, value in options.items()})
        self.source = None
        self.span = (0, 0)
        self.option_spans: Mapping[str, Span] = {}
        self._depth = 1 + max(map(_depth, (*self.inputs, *self.options.values())), default=0)
        if self._depth > MAX_DEPTH:
            raise UsageError(f"an expression is nested at most {MAX_DEPTH} levels deep")
        self._key = (
            "stage",
            name,
            tuple(i._key for i in self.inputs),
            tuple((key, _value_key(self.options[key])) for key in sorted(self.options)),
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (self,)


class Chain(Node):
    """Stages one behind the other; chains inside chains are flattened.

    Raises:
        UsageError: for fewer than two stages.
    """

    __slots__ = ("_stages",)

    def __init__(self, *parts: Expression | str) -> None:
        self._stages = tuple(stage for part in parts for stage in as_expression(part).stages)
        if len(self._stages) < 2:
            raise UsageError("a chain has at least two stages, as in `bm25 >> cut(k=10)`")
        self.source = None
        self.span = (0, 0)
        self._depth = max(stage._depth for stage in self._stages)
        self._key = ("chain", tuple(s._key for s in self._stages))

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self._stages


class Hole(Stage):
    """A choice that is still open: ``?``, ``?kind``, ``?[low..high]``, ``?[low..high, log]`` or ``?[a, b, c]``.

    Args:
        kind: the kind of component that fills it; any of that kind may.
        ends: the ends of the range that it is chosen from, whole where both are.
        log: whether equal ratios, not equal differences, are equally far apart in the range.
        choices: what it is chosen from.
    """

    __slots__ = ("choices", "ends", "kind", "log")

    def __init__(
        self,
        kind: str = "",
        ends: tuple[float, float] | None = None,
        log: bool = False,
        choices: tuple[Value, ...] = (),
    ) -> None:
        self.kind, self.ends, self.log, self.choices = kind, ends, log, choices
        self.name = HOLE
        self.inputs = ()
        self.options = MappingProxyType({})
        self.source = None
        self.span = (0, 0)
        self.option_spans = {}
        self._depth = 1 + max(map(_depth, choices), default=0)
        self._key = ("hole", kind, _value_key(ends), log, _value_key(choices))

    @property
    def is_value(self) -> bool:
        """Whether it can be filled with a number."""
        return not self.kind and all(isinstance(c, int | float) and not isinstance(c, bool) for c in self.choices)


Expression: TypeAlias = Stage | Chain


def as_expression(value: Any) -> Expression:
    """Return ``value`` as an expression, parsing text.

    Raises:
        UsageError: for anything that is neither.
    """
    if isinstance(value, Stage | Chain):
        return value
    if isinstance(value, str):
        from spaniel.expression.parser import parse

        return parse(value)
    raise UsageError(f"expected a pipeline expression, not {value!r}")


def is_sum(node: Expression) -> bool:
    """Whether ``node`` is what ``*`` and ``+`` make: a weighted stage with one weight an input and no other option."""
    if not isinstance(node, Stage) or node.name != WEIGHTED or set(node.options) != {"weights"} or not node.inputs:
        return False
    weights = node.options["weights"]
    return (
        isinstance(weights, tuple)
        and len(weights) == len(node.inputs)
        and all(isinstance(w, int | float | Hole) and not isinstance(w, bool) for w in weights)
    )


def _terms(node: Any) -> list[tuple[float, Expression]]:
    if is_sum(node):
        return list(zip(node.options["weights"], node.inputs, strict=True))
    return [(1, node)]


def _sum(terms: list[tuple[float, Expression]]) -> Stage:
    return Stage(WEIGHTED, *(expression for _, expression in terms), weights=[weight for weight, _ in terms])


def _depth(value: Value) -> int:
    if isinstance(value, Node):
        return value._depth
    return 1 + max(map(_depth, value), default=0) if isinstance(value, tuple) else 0


def _freeze(value: Any, depth: int = 0) -> Value:
    if depth > MAX_DEPTH:
        raise UsageError(f"lists are nested at most {MAX_DEPTH} levels deep")
    if type(value) is Stage and not value.options and not value.inputs:
        return value.name
    if value is None or isinstance(value, bool | int | Stage | Chain):
        return value
    if isinstance(value, str):
        return _checked_text(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{value} is no value of an option; numbers are finite")
        return value
    if isinstance(value, list | tuple):
        return tuple(_freeze(v, depth + 1) for v in value)
    raise UsageError(
        f"{value!r} is no value of an option; allowed: numbers, text, true, false, null, lists of these, components"
    )


def _checked_text(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} has a lone surrogate, which is no Unicode character") from None
    if "\0" in text:
        raise UsageError(f"{text!r} has a NUL, which no option can hold")
    return text


def _value_key(value: Value) -> Any:
    if isinstance(value, Node):
        return value._key
    if isinstance(value, tuple):
        return tuple(_value_key(v) for v in value)
    return (type(value).__name__, value)

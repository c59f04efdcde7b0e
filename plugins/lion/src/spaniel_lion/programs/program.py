"""A program, and how it is executed over any domain of values, concrete or abstract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

Argument = str | float
V = TypeVar("V")


class Statement(NamedTuple):
    """``target = function(*arguments)``: an argument is the name of a variable or a number."""

    target: str
    function: str
    arguments: tuple[Argument, ...]

    @property
    def read(self) -> Iterable[str]:
        """The variables that it reads."""
        return (argument for argument in self.arguments if isinstance(argument, str))


class Program(NamedTuple):
    """Statements, one after the other, and the variables that hold the outputs in the end."""

    statements: tuple[Statement, ...]
    returns: tuple[str, ...]


class Domain(Protocol[V]):
    """What values are: ranks, hashes, tensors."""

    def constant(self, number: float) -> V:
        """Return the value of a number in the program."""
        ...

    def apply(self, statement: Statement, arguments: Sequence[V]) -> V:
        """Return what the function of a statement makes of values."""
        ...


class Unknown(Exception):
    """A variable is read that nothing has assigned."""


def variables(statements: Iterable[Statement], inputs: Mapping[str, V], domain: Domain[V]) -> dict[str, V]:
    """Execute statements, and return the values of all variables.

    Raises:
        Unknown: a variable is read that nothing has assigned.
    """
    known = dict(inputs)
    try:
        for statement in statements:
            values = [known[a] if isinstance(a, str) else domain.constant(a) for a in statement.arguments]
            known[statement.target] = domain.apply(statement, values)
    except KeyError as error:
        raise Unknown(error.args[0]) from None
    return known


def execute(program: Program, inputs: Mapping[str, V], domain: Domain[V]) -> tuple[V, ...]:
    """Execute a program, and return its outputs.

    Raises:
        Unknown: a variable is read that nothing has assigned.
    """
    known = variables(program.statements, inputs, domain)
    try:
        return tuple(known[name] for name in program.returns)
    except KeyError as error:
        raise Unknown(error.args[0]) from None

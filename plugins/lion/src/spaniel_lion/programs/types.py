"""Typing by abstract execution: a program is run on ranks in place of tensors (appendix I of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

from spaniel import UsageError

from spaniel_lion.programs.functions import FUNCTIONS, WHOLE, rank_of
from spaniel_lion.programs.program import Program, Statement, Unknown, execute
from spaniel_lion.programs.signature import Rank, Signature


class Mistyped(Exception):
    """A function does not take values of these ranks."""


class Types:
    """The domain of ranks."""

    def constant(self, number: float) -> Rank:
        return Rank.SCALAR

    def apply(self, statement: Statement, arguments: Sequence[Rank]) -> Rank:
        rank = rank_of(statement.function, tuple(arguments))
        if rank is None:
            raise Mistyped(statement, arguments)
        return rank


TYPES = Types()


def is_valid(program: Program, signature: Signature) -> bool:
    """Return whether a program runs, has no function that its signature rules out, and returns what that says."""
    if signature.is_local and any(statement.function in WHOLE for statement in program.statements):
        return False
    try:
        found = execute(program, signature.inputs, TYPES)
    except (Unknown, Mistyped):
        return False
    return list(found) == list(signature.returns.values())


def check_types(program: Program, signature: Signature) -> None:
    """Raise where a program does not run or returns something else.

    Raises:
        UsageError: what is wrong, and in which statement.
    """
    from spaniel_lion.programs.text import print_statement

    if len(program.returns) != len(signature.returns):
        raise UsageError(f"the program returns {len(program.returns)} values instead of {', '.join(signature.returns)}")
    for statement in program.statements:
        if signature.is_local and statement.function in WHOLE:
            raise UsageError(
                f"`{print_statement(statement)}`: {statement.function} looks at all numbers at once, and a program of "
                f"{', '.join(signature.returns)} goes number by number"
            )
    try:
        found = execute(program, signature.inputs, TYPES)
    except Unknown as error:
        raise UsageError(
            f"the program reads `{error}`, and nothing has assigned it; it is given {', '.join(signature.inputs)}"
        ) from None
    except Mistyped as error:
        statement, ranks = error.args
        given = ", ".join(rank.name.lower() for rank in ranks) or "nothing"
        wanted = FUNCTIONS[statement.function].arity
        raise UsageError(
            f"`{print_statement(statement)}`: {statement.function}, which takes {wanted} arguments, does not take {given}"
        ) from None
    for (name, wanted_rank), rank in zip(signature.returns.items(), found, strict=True):
        if rank != wanted_rank:
            raise UsageError(
                f"the program returns a {rank.name.lower()} as `{name}`, which is a {wanted_rank.name.lower()}"
            )

"""Programs as text, which is a part of Python's own syntax, read as data and never run.

A line is ``target = function(argument, …)`` or ``target = a + b`` with + - * / and ``**``; the last one may say what is
returned. Expressions may be nested, and the head of a function may stand above: both are taken apart.
"""

from __future__ import annotations

import ast
import itertools
from functools import lru_cache

from spaniel import UsageError

from spaniel_lion.programs.functions import FUNCTIONS
from spaniel_lion.programs.program import Argument, Program, Statement
from spaniel_lion.programs.signature import Signature

_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "power"}
_INFIX = frozenset("+-*/")
_LARGEST = 1e30
"""Numbers in programs are below it, so that float32 holds them."""


def print_statement(statement: Statement) -> str:
    """Return a statement as text; numbers keep every bit."""
    said = [argument if isinstance(argument, str) else repr(argument) for argument in statement.arguments]
    if statement.function in _INFIX:
        return f"{statement.target} = {said[0]} {statement.function} {said[1]}"
    return f"{statement.target} = {statement.function}({', '.join(said)})"


def print_program(program: Program) -> str:
    """Return a program as text."""
    lines = [print_statement(statement) for statement in program.statements]
    return "\n".join([*lines, f"return {', '.join(program.returns)}"])


def parse_program(text: str, signature: Signature) -> Program:
    """Return the program that a text holds; its types are checked by :func:`spaniel_lion.programs.types.check_types`.

    Raises:
        UsageError: it holds none.
    """
    return _parse(text, tuple(signature.returns), tuple(signature.inputs))


@lru_cache(maxsize=8192)
def _parse(text: str, returns: tuple[str, ...], inputs: tuple[str, ...]) -> Program:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"this is no program: {error}") from None
    if len(body) == 1 and isinstance(body[0], ast.FunctionDef):
        names = tuple(argument.arg for argument in body[0].args.args)
        if names != inputs:
            raise UsageError(f"the function takes {', '.join(names)} instead of {', '.join(inputs)}")
        body = body[0].body
    reader = _Reader({node.id for line in body for node in ast.walk(line) if isinstance(node, ast.Name)})
    for place, line in enumerate(body):
        if isinstance(line, ast.Return) and place == len(body) - 1:
            returns = _returned(line)
        elif isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
            reader.assign(line.targets[0].id, line.value)
        else:
            raise _odd(line, "is no statement `variable = function(…)`")
    if not reader.statements and not (body and isinstance(body[-1], ast.Return)):
        raise UsageError("this is no program: it has no statements")
    return Program(tuple(reader.statements), returns)


class _Reader:
    """Takes expressions apart into statements."""

    def __init__(self, taken: set[str]) -> None:
        self.statements: list[Statement] = []
        self._fresh = (name for n in itertools.count() if (name := f"t{n}") not in taken)

    def assign(self, target: str, node: ast.expr) -> None:
        function, parts = self._call(node)
        arguments = tuple(self._argument(part) for part in parts)
        self.statements.append(Statement(target, function, arguments))

    def _call(self, node: ast.expr) -> tuple[str, list[ast.expr]]:
        if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
            return _SIGNS[type(node.op)], [node.left, node.right]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return "negative", [node.operand]
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
            raise _odd(node, "applies no function to arguments")
        name = node.func.id
        if name not in FUNCTIONS or FUNCTIONS[name].arity != len(node.args):
            known = f"{name} takes {FUNCTIONS[name].arity} arguments" if name in FUNCTIONS else ", ".join(FUNCTIONS)
            raise _odd(node, f"is unknown; there is {known}")
        return name, node.args

    def _argument(self, node: ast.expr) -> Argument:
        if isinstance(node, ast.Name):
            return node.id
        number = _number(node)
        if number is not None:
            return number
        name = next(self._fresh)
        self.assign(name, node)
        return name


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if not isinstance(node, ast.Constant):
        return None
    number = node.value
    if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > _LARGEST:
        raise _odd(node, f"is no number below {_LARGEST:g}")
    return float(number)


def _returned(line: ast.Return) -> tuple[str, ...]:
    value = line.value
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    names = [part.id for part in parts if isinstance(part, ast.Name)]
    if len(names) != len(parts):
        raise _odd(line, "returns something that is no variable")
    return tuple(names)


def _odd(node: ast.AST, problem: str) -> UsageError:
    return UsageError(f"line {getattr(node, 'lineno', 1)} of the program: `{ast.unparse(node)}` {problem}")

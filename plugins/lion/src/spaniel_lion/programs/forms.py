"""Redundant statements, hashes, and the canonical form that programs with one meaning share (appendix I of the paper)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from spaniel_lion.programs.functions import FUNCTIONS
from spaniel_lion.programs.program import Argument, Program, Statement, execute
from spaniel_lion.programs.signature import Signature


def simplify(program: Program, signature: Signature) -> Program:
    """Return the program without redundant statements: those that no output depends on.

    A state that no later step reads is no output: what is assigned to it stays out, too.
    """
    kept, _ = _needed(program, signature)
    return Program(tuple(program.statements[at] for at in kept), program.returns)


def live_states(program: Program, signature: Signature) -> tuple[str, ...]:
    """Return the states that later steps read, in the signature's order; an optimizer keeps these alone."""
    _, read = _needed(program, signature)
    return tuple(name for name in signature.states if name in read)


def _needed(program: Program, signature: Signature) -> tuple[list[int], set[str]]:
    """Return the places of the statements that outputs depend on, and the inputs that these read."""
    places = dict(zip(signature.returns, program.returns, strict=True))
    wanted = {variable for name, variable in places.items() if name not in signature.states}
    alive: set[str] = set()
    while True:
        read, kept = set(wanted), []
        for at in range(len(program.statements) - 1, -1, -1):
            statement = program.statements[at]
            if statement.target in read:
                kept.append(at)
                read.remove(statement.target)
                read.update(statement.read)
        found = {name for name in signature.states if name in read}
        if found <= alive:
            return kept[::-1], read
        alive |= found
        wanted |= {places[name] for name in alive}


class Hashes:
    """The domain of hashes: that of a value is one of the function and of the hashes of its arguments.

    Names vanish, equal expressions become one, and arguments that commute are sorted. ``parts`` holds what each hash was
    made of: a name, a number, or a function with its arguments.
    """

    def __init__(self) -> None:
        self.parts: dict[bytes, str | float | tuple[str, tuple[bytes, ...]]] = {}

    def input(self, name: str) -> bytes:
        """Return the hash of an input."""
        return self._keep(b"input " + name.encode(), name)

    def constant(self, number: float) -> bytes:
        """Return the hash of a number: that of its bits."""
        return self._keep(b"number " + struct.pack("<d", number), number)

    def apply(self, statement: Statement, arguments: Sequence[bytes]) -> bytes:
        """Return the hash of a function's result."""
        if FUNCTIONS[statement.function].commutes:
            arguments = sorted(arguments)
        said = b"call " + statement.function.encode() + b" " + b"".join(arguments)
        return self._keep(said, (statement.function, tuple(arguments)))

    def _keep(self, said: bytes, part: str | float | tuple[str, tuple[bytes, ...]]) -> bytes:
        name = hashlib.blake2b(said, digest_size=16).digest()
        self.parts[name] = part
        return name


def _hashed(program: Program, signature: Signature) -> tuple[tuple[bytes, ...], Hashes]:
    domain = Hashes()
    inputs = {name: domain.input(name) for name in signature.inputs}
    alive = live_states(program, signature)
    found = execute(program, inputs, domain)
    # A state that nothing reads is as good as one that stays what it was.
    outputs = [
        inputs[name] if name in signature.states and name not in alive else value
        for name, value in zip(signature.returns, found, strict=True)
    ]
    return tuple(outputs), domain


def program_hash(program: Program, signature: Signature) -> str:
    """Return the hash of a program, the same for programs with the same canonical form."""
    outputs, _ = _hashed(program, signature)
    return hashlib.blake2b(b"".join(outputs), digest_size=16).hexdigest()


def canonical(program: Program, signature: Signature) -> Program:
    """Return the form that programs share whose outputs are the same expressions of the inputs.

    Each expression stands once, as late as its first use allows, in variables t0, t1, …
    """
    outputs, domain = _hashed(program, signature)
    names: dict[bytes, Argument] = {}
    statements: list[Statement] = []
    stack = [(value, False) for value in reversed(outputs)]
    while stack:
        value, ready = stack.pop()
        if value in names:
            continue
        part = domain.parts[value]
        if not isinstance(part, tuple):
            names[value] = part
        elif ready:
            target = f"t{len(statements)}"
            statements.append(Statement(target, part[0], tuple(names[a] for a in part[1])))
            names[value] = target
        else:
            stack.append((value, True))
            stack.extend((argument, False) for argument in reversed(part[1]))
    return Program(tuple(statements), tuple(str(names[value]) for value in outputs))

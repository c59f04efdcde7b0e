"""Mutations of programs: a statement put in, taken out, or changed in one argument (section 2.1 of the paper).

Each tries until the whole program is valid by abstract execution, or nothing is left to try.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from spaniel_lion.programs.functions import FUNCTIONS, rank_of
from spaniel_lion.programs.program import Argument, Program, Statement, variables
from spaniel_lion.programs.signature import Rank, Signature
from spaniel_lion.programs.types import TYPES, is_valid

Sort = Literal["insert", "delete", "modify"]
SORTS: tuple[Sort, ...] = ("insert", "delete", "modify")
_LARGEST = 1e10
"""Bound of constants, as in the reference."""


class Mutations:
    """Mutations of valid programs of one signature.

    Args:
        signature: of the programs.
        functions: names of the functions that are put in.
        trials: attempts at an insertion or a change.
    """

    def __init__(self, signature: Signature, functions: Sequence[str], trials: int = 1000) -> None:
        self.signature = signature
        self.functions = tuple(functions)
        self.trials = trials

    def mutate(
        self, program: Program, rng: np.random.Generator, weights: Sequence[float]
    ) -> tuple[Program, Sort | None]:
        """Return a mutated program, and what was done: a sort of mutation drawn by the weights, another one where that
        cannot be done; the program itself and ``None`` where nothing can.

        Args:
            program: the parent.
            rng: the random stream.
            weights: of insertion, deletion and modification.
        """
        left = [(sort, weight) for sort, weight in zip(SORTS, weights, strict=True) if weight > 0]
        while left:
            shares = np.array([weight for _, weight in left])
            sort, _ = left.pop(int(rng.choice(len(left), p=shares / shares.sum())))
            found: Program | None = getattr(self, sort)(program, rng)
            if found is not None:
                return found, sort
        return program, None

    def insert(self, program: Program, rng: np.random.Generator) -> Program | None:
        """Put a statement in: a random function of random variables and constants, at a random place."""
        statements = program.statements
        for _ in range(self.trials):
            at = int(rng.integers(len(statements) + 1))
            known = variables(statements[:at], self.signature.inputs, TYPES)
            made = self.statement(known, _fresh_name(program, self.signature), rng)
            if made is None:
                continue
            found = program._replace(statements=(*statements[:at], made, *statements[at:]))
            if is_valid(found, self.signature):
                return found
        return None

    def delete(self, program: Program, rng: np.random.Generator) -> Program | None:
        """Take a statement out, never the last one."""
        statements = program.statements
        if len(statements) < 2:
            return None
        for at in rng.permutation(len(statements)).tolist():
            found = program._replace(statements=(*statements[:at], *statements[at + 1 :]))
            if is_valid(found, self.signature):
                return found
        return None

    def modify(self, program: Program, rng: np.random.Generator) -> Program | None:
        """Change an argument: a variable to another one of its rank, a constant c to c · 2^a with a ~ N(0, 1)."""
        for at in rng.permutation(len(program.statements)).tolist():
            statement = program.statements[at]
            known = variables(program.statements[:at], self.signature.inputs, TYPES)
            for place in rng.permutation(len(statement.arguments)).tolist():
                argument = statement.arguments[place]
                others: list[Argument]
                if isinstance(argument, str):
                    others = sorted(n for n, rank in known.items() if rank == known[argument] and n != argument)
                    rng.shuffle(others)
                else:
                    others = [_scaled(argument, rng)]
                for other in others:
                    found = _with_argument(program, at, place, other)
                    if is_valid(found, self.signature):
                        return found
        return None

    def tune(self, program: Program, rng: np.random.Generator) -> Program | None:
        """Change one constant alone: the baseline of tuning (section 2.2)."""
        places = constants_of(program)
        if not places:
            return None
        at, place = places[int(rng.integers(len(places)))]
        return _with_argument(program, at, place, _scaled(float(program.statements[at].arguments[place]), rng))

    def sample(self, count: int, rng: np.random.Generator) -> Program:
        """Return a valid program of so many random statements; the last one of each output that nothing assigns yet is
        made for it.

        Raises:
            RuntimeError: with these functions none was found.
        """
        names = tuple(self.signature.returns)
        empty = Program((), names)
        for _ in range(self.trials):
            program, known = empty, dict(self.signature.inputs)
            for _ in range(count - 1):
                made = self.statement(known, _fresh_name(program, self.signature), rng)
                if made is not None:
                    program = program._replace(statements=(*program.statements, made))
                    known = variables((made,), known, TYPES)
            for name, rank in self.signature.returns.items():
                if known.get(name) != rank:
                    final = self.statement(known, name, rng, rank)
                    if final is not None:
                        program = program._replace(statements=(*program.statements, final))
                        known[name] = rank
            if is_valid(program, self.signature):
                return program
        raise RuntimeError(f"no valid program was found in {self.trials} attempts")

    def statement(
        self, known: dict[str, Rank], fresh: str, rng: np.random.Generator, wanted: Rank | None = None
    ) -> Statement | None:
        """Return a random statement over variables; ``None`` where its function does not take what was drawn.

        Args:
            known: variables and their ranks.
            fresh: name of a new variable. The target is this one, or any variable of the result's rank.
            rng: the random stream.
            wanted: a rank that the result must have; the target is then ``fresh``.
        """
        names = list(known)
        for _ in range(self.trials if wanted is not None else 1):
            function = self.functions[int(rng.integers(len(self.functions)))]
            arguments: list[Argument] = []
            for _ in range(FUNCTIONS[function].arity):
                # One of the variables, or a fresh constant, all equally likely.
                drawn = int(rng.integers(len(names) + 1))
                arguments.append(names[drawn] if drawn < len(names) else float(rng.standard_normal()))
            ranks = tuple(known[a] if isinstance(a, str) else Rank.SCALAR for a in arguments)
            rank = rank_of(function, ranks)
            if rank is None or (wanted is not None and rank != wanted):
                continue
            targets = [fresh] if wanted is not None else [fresh, *(name for name in names if known[name] == rank)]
            return Statement(targets[int(rng.integers(len(targets)))], function, tuple(arguments))
        return None


def constants_of(program: Program) -> list[tuple[int, int]]:
    """Return the places of the constants of a program: statement and argument."""
    return [
        (at, place)
        for at, statement in enumerate(program.statements)
        for place, argument in enumerate(statement.arguments)
        if not isinstance(argument, str)
    ]


def crossed(first: Program, second: Program, signature: Signature, rng: np.random.Generator) -> Program | None:
    """Return the beginning of one program and the end of another; ``None`` where no cut gives a valid one."""
    count = min(len(first.statements), len(second.statements))
    for at in (1 + rng.permutation(count - 1)).tolist() if count > 1 else ():
        found = Program((*first.statements[:at], *second.statements[at:]), second.returns)
        if is_valid(found, signature):
            return found
    return None


def _scaled(constant: float, rng: np.random.Generator) -> float:
    return float(np.clip(constant * 2.0 ** rng.standard_normal(), -_LARGEST, _LARGEST))


def _with_argument(program: Program, at: int, place: int, argument: Argument) -> Program:
    statement = program.statements[at]
    arguments = (*statement.arguments[:place], argument, *statement.arguments[place + 1 :])
    changed = statement._replace(arguments=arguments)
    return program._replace(statements=(*program.statements[:at], changed, *program.statements[at + 1 :]))


def _fresh_name(program: Program, signature: Signature) -> str:
    taken = {*signature.inputs, *signature.returns, *(statement.target for statement in program.statements)}
    return next(name for n in range(len(taken) + 1) if (name := f"x{n}") not in taken)

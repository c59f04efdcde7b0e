"""The space of programs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from spaniel import Context, UsageError

from spaniel_lion.config import ProgramsConfig
from spaniel_lion.programs.forms import canonical, live_states, simplify
from spaniel_lion.programs.functions import FUNCTIONS, WHOLE
from spaniel_lion.programs.mutation import Mutations, constants_of, crossed
from spaniel_lion.programs.program import Program
from spaniel_lion.programs.published import read_program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import OPTIMIZER, RANKING, Signature
from spaniel_lion.programs.text import parse_program, print_program
from spaniel_lion.programs.types import check_types


class Programs:
    """Programs that update weights. A candidate is the text of one.

    Raises:
        UsageError: an option names no function that programs may have, or the program to start from is none.
    """

    signature: ClassVar[Signature] = OPTIMIZER

    def __init__(self, config: ProgramsConfig, context: Context) -> None:
        self.config = config
        known = [name for name in FUNCTIONS if not (self.signature.is_local and name in WHOLE)]
        unknown = [name for name in config.functions if name not in known]
        if unknown:
            raise UsageError(f"there is no function {unknown[0]!r}; there are {', '.join(known)}")
        self.mutations = Mutations(self.signature, config.functions or tuple(known), config.trials)

    @cached_property
    def start(self) -> str:
        """The program that a search starts from."""
        program = read_program(self.config.start, self.signature)
        check_types(program, self.signature)
        return print_program(program)

    def sample(self, rng: np.random.Generator) -> str:
        """Return a program of random statements; where constants alone change, the first program with all of them drawn
        anew around theirs."""
        if self.config.change == "all":
            return print_program(self.mutations.sample(self.config.sampled, rng))
        program = self.read(self.start)
        for _ in constants_of(program):
            program = self.mutations.tune(program, rng) or program
        return print_program(program)

    def mutate(self, candidate: str, rng: np.random.Generator) -> str:
        """Return a program with one mutation; the candidate itself where none is possible."""
        program = self.read(candidate)
        if self.config.change == "constants":
            return print_program(self.mutations.tune(program, rng) or program)
        longest = self.config.longest
        full = longest is not None and len(program.statements) >= longest
        weights = (0.0 if full else self.config.insert, self.config.delete, self.config.modify)
        found, _ = self.mutations.mutate(program, rng, weights)
        return print_program(found)

    def cross(self, first: str, second: str, rng: np.random.Generator) -> str:
        """Return the beginning of one program and the end of another, or the first where that is not valid."""
        found = crossed(self.read(first), self.read(second), self.signature, rng)
        return print_program(found if found is not None else self.read(first))

    def validate(self, candidate: Any) -> None:
        """Raise where something is no valid program.

        Raises:
            UsageError: why.
        """
        if not isinstance(candidate, str):
            raise UsageError(f"a program is text, not {type(candidate).__name__}")
        check_types(self.read(candidate), self.signature)

    def canonical(self, candidate: str) -> str:
        """Return the text of the canonical form, see :func:`spaniel_lion.programs.forms.canonical`."""
        return print_program(canonical(self.read(candidate), self.signature))

    def counts(self, candidate: str) -> Mapping[str, float]:
        """Return how many statements a program has, how many of them are not redundant, and how many states it keeps."""
        program = self.read(candidate)
        return {
            "length": len(program.statements),
            "statements": len(simplify(program, self.signature).statements),
            "states": len(live_states(program, self.signature)),
        }

    def build(self, candidate: str, seed: int) -> Rule:
        """Return the program made ready to run; :class:`spaniel_lion.program_optimizer.ProgramOptimizer` wraps its program."""
        return Rule(self.read(candidate), self.signature)

    def read(self, candidate: str) -> Program:
        """Return the program that a candidate is the text of."""
        return parse_program(candidate, self.signature)


class RankingPrograms(Programs):
    """Programs that score documents from counts of words. A candidate is the text of one."""

    signature = RANKING

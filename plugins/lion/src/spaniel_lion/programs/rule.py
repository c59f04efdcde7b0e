"""A program made ready to run on tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spaniel_lion.programs.arithmetic import Work, work_of
from spaniel_lion.programs.forms import live_states, simplify
from spaniel_lion.programs.functions import WHOLE
from spaniel_lion.programs.program import Program
from spaniel_lion.programs.signature import Signature
from spaniel_lion.programs.types import TYPES, check_types


class Rule:
    """The simplified program as a list of calls over numbered places; nothing is generated or evaluated as code.

    Attributes:
        program: as it was given.
        states: the states that it reads; the others need not be kept.
        is_local: whether each number of its outputs depends on the numbers at the same place alone.

    Raises:
        UsageError: the program is not valid.
    """

    def __init__(self, program: Program, signature: Signature) -> None:
        check_types(program, signature)
        self.program, self.signature = program, signature
        self.states = live_states(program, signature)
        simple = simplify(program, signature)
        self.is_local = not any(statement.function in WHOLE for statement in simple.statements)
        ranks = dict(signature.inputs)
        places = {name: at for at, name in enumerate(signature.inputs)}
        self._places: list[Any] = [None] * len(places)
        self._calls: list[tuple[Work, tuple[int, ...], int]] = []
        for statement in simple.statements:
            read = []
            for argument in statement.arguments:
                if isinstance(argument, str):
                    read.append(places[argument])
                else:
                    read.append(len(self._places))
                    self._places.append(argument)
            given = [ranks[a] if isinstance(a, str) else TYPES.constant(a) for a in statement.arguments]
            self._calls.append((work_of(statement.function, given), tuple(read), len(self._places)))
            places[statement.target] = len(self._places)
            ranks[statement.target] = TYPES.apply(statement, given)
            self._places.append(None)
        wanted = dict(zip(signature.returns, simple.returns, strict=True))
        self._outputs = {
            name: places[variable]
            for name, variable in wanted.items()
            if name not in signature.states or name in self.states
        }

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program once.

        Args:
            inputs: lists of tensors for trees, numbers for scalars; states that are not read may be left out. They are
                not changed.

        Returns:
            the outputs by name, without the states that nothing reads.
        """
        places = list(self._places)
        for at, name in enumerate(self.signature.inputs):
            places[at] = inputs.get(name)
        # Numbers overflow to infinity, as tensors do.
        with np.errstate(all="ignore"):
            for work, read, target in self._calls:
                places[target] = work(*[places[at] for at in read])
        return {name: places[at] for name, at in self._outputs.items()}

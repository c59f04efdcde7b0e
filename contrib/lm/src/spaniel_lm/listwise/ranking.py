"""Orders of many lists at once: every round, the windows of all queries are one call of the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spaniel import UsageError

from spaniel_lm.capabilities import require
from spaniel_lm.listwise.constraint import PermutationConstraint
from spaniel_lm.listwise.permutations import Permutation, read
from spaniel_lm.listwise.prompts import Prompter
from spaniel_lm.listwise.schedules import Schedule
from spaniel_lm.listwise.structures import schema
from spaniel_lm.protocol import Answer, Generation, LanguageModel


@dataclass(frozen=True)
class Window:
    """What happened in one window.

    Attributes:
        round: number of the call.
        shown: the candidates, as they were shown.
        order: the candidates, as they were ordered.
        text: what the model wrote.
        permutation: what was read from it, counted within the window, with what was repaired.
        passage_tokens: tokens after which passages were cut; ``None`` where all were whole.
        prompt_tokens, answer_tokens: of this window.
    """

    round: int
    shown: tuple[int, ...]
    order: tuple[int, ...]
    text: str
    permutation: Permutation
    passage_tokens: int | None
    prompt_tokens: int
    answer_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Ranking:
    """The candidates of a query in their final order, and its trace: the windows that led to it."""

    order: tuple[int, ...]
    windows: tuple[Window, ...]


class ListRanker:
    """Orders lists of passages by a language model.

    Args:
        model: a language model.
        prompter: writes the prompts.
        schedule: which passages are shown together.
        constrained: whether the model can write nothing but permutations; the others are repaired.

    Where the prompter asks for JSON, the answer is asked to follow its schema.
    """

    def __init__(self, model: LanguageModel, prompter: Prompter, schedule: Schedule, constrained: bool = False) -> None:
        if constrained and prompter.structured:
            raise UsageError("an order is constrained to a permutation or to JSON, not to both")
        require(
            model,
            "generate",
            *(("processors", "tokens") if constrained else ()),
            *(("schema",) if prompter.structured else ()),
        )
        self.model, self.prompter, self.schedule, self.constrained = model, prompter, schedule, constrained
        self._constraints: dict[int, PermutationConstraint] = {}

    def rank(self, queries: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Ranking]:
        """Order the passages of each query; a list of one passage asks nothing."""
        walks = [self.schedule(len(texts)) for texts in passages]
        traces: list[list[Window]] = [[] for _ in queries]
        orders: dict[int, list[int]] = {}
        waiting: dict[int, list[list[int]]] = {}

        def advance(query: int, ordered: list[list[int]] | None) -> None:
            try:
                waiting[query] = next(walks[query]) if ordered is None else walks[query].send(ordered)
            except StopIteration as stop:
                orders[query] = stop.value
                waiting.pop(query, None)

        for query in range(len(queries)):
            advance(query, None)
        number = 0
        while waiting:
            asked = [(query, shown) for query, windows in waiting.items() for shown in windows]
            made = self._order(number, asked, queries, passages)
            ordered: dict[int, list[list[int]]] = {}
            for (query, _), window in zip(asked, made, strict=True):
                traces[query].append(window)
                ordered.setdefault(query, []).append(list(window.order))
            for query in list(waiting):
                advance(query, ordered[query])
            number += 1
        return [Ranking(tuple(orders[query]), tuple(traces[query])) for query in range(len(queries))]

    def _order(
        self,
        number: int,
        asked: Sequence[tuple[int, list[int]]],
        queries: Sequence[str],
        passages: Sequence[Sequence[str]],
    ) -> list[Window]:
        fitted = [self.prompter.fit(queries[query], [passages[query][at] for at in shown]) for query, shown in asked]
        answers = self._ask(fitted, [len(shown) for _, shown in asked])
        made = []
        for (_, shown), one, answer in zip(asked, fitted, answers, strict=True):
            permutation = read(answer.text, len(shown))
            order = tuple(shown[at] for at in permutation.order)
            counts = answer.prompt_tokens, answer.answer_tokens
            made.append(Window(number, tuple(shown), order, answer.text, permutation, one.passage_tokens, *counts))
        return made

    def _ask(self, fitted: Sequence[Any], sizes: Sequence[int]) -> list[Answer]:
        """Answer prompts; those whose answers may be of one form and length are one call."""
        answers: dict[int, Answer] = {}
        forms = [size if self.prompter.structured else 0 for size in sizes]
        for most, form in sorted({(one.answer_tokens, form) for one, form in zip(fitted, forms, strict=True)}):
            places = [at for at, one in enumerate(fitted) if (one.answer_tokens, forms[at]) == (most, form)]
            settings = Generation(max_tokens=most, schema=json.dumps(schema(form)) if form else None)
            constraints = [self._constraint(sizes[at]) for at in places] if self.constrained else None
            made = self.model.generate([fitted[at].prompt for at in places], settings, constraints=constraints)
            answers |= dict(zip(places, made, strict=True))
        return [answers[at] for at in range(len(fitted))]

    def _constraint(self, count: int) -> PermutationConstraint:
        if count not in self._constraints:
            self._constraints[count] = PermutationConstraint.of(self.model, count)
        return self._constraints[count]

"""Successive halving."""

from __future__ import annotations

from typing import Any

from spaniel_search.candidates import digest
from spaniel_search.strategies.base import FAILED, Walker

_DRAWS = 10
"""Samples that are drawn for a place in a bracket before a small space is taken to hold no more."""


class SuccessiveHalving(Walker):
    """Scores many candidates at little effort; one in ``eta`` goes on at ``eta`` times the effort, up to the full one.

    Algorithm 1 of Jamieson and Talwalkar 2016, with the rungs of Li et al. 2018. Candidates of a
    bracket differ, and one that failed does not go on. Brackets follow one another; where more is asked for than the rung at
    hand holds, the next bracket begins meanwhile.
    """

    effort: float = 1.0

    def begin(self) -> dict[str, Any]:
        return {"brackets": [], "made": 0}

    def ask(self) -> Any:
        """Return the next candidate; ``effort`` says at which share of the full effort it is to be scored."""
        if self.memory["seeds"]:
            # Seeds enter the first bracket as samples do.
            self.memory["brackets"].append(self._bracket(self.memory["seeds"]))
            self.memory["seeds"] = []
        return super().ask()

    def next(self) -> tuple[Any, Any]:
        brackets = self.memory["brackets"]
        bracket = next((b for b in brackets if b["todo"]), None)
        if bracket is None:
            bracket = self._bracket([])
            brackets.append(bracket)
        self.effort = bracket["effort"]
        return bracket["todo"].pop(0), bracket["number"]

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        brackets = self.memory["brackets"]
        bracket = next(b for b in brackets if b["number"] == note)
        bracket["told"].append([candidate, score])
        if len(bracket["told"]) < bracket["size"]:
            return
        # Of equals the one told first goes on; none goes on that failed, and none twice.
        best = sorted(bracket["told"], key=lambda pair: -pair[1])
        distinct = list({digest(self.space, c): c for c, score in best if score > FAILED}.values())
        todo = distinct[: max(1, int(len(best) / self.config.eta))]
        if bracket["effort"] >= 1 or not todo:
            brackets.remove(bracket)
            return
        effort = bracket["effort"] * self.config.eta
        # A last rung that is nearly the full effort is the full one.
        bracket.update(todo=todo, told=[], size=len(todo), effort=1.0 if effort > 0.999 else effort)

    def restore(self, space: Any, state: Any) -> None:
        """Go on from a state."""
        super().restore(space, state)
        self.effort = 1.0

    def _bracket(self, seeds: list[Any]) -> dict[str, Any]:
        self.memory["made"] += 1
        todo = list(seeds)
        known = {digest(self.space, seed) for seed in seeds}
        for _ in range(_DRAWS * self.config.candidates):
            if len(todo) >= self.config.candidates:
                break
            sample = self.space.sample(self.rng)
            name = digest(self.space, sample)
            if name not in known:
                known.add(name)
                todo.append(sample)
        # A space may hold no more than its seeds.
        todo = todo or [self.space.sample(self.rng)]
        number = self.memory["made"]
        return {"number": number, "effort": self.config.least, "todo": todo, "told": [], "size": len(todo)}

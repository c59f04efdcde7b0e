"""Successive halving."""

from __future__ import annotations

from typing import Any

from spaniel_search.strategies.base import Walker


class SuccessiveHalving(Walker):
    """Scores many candidates at little effort; one in ``eta`` goes on at ``eta`` times the effort, up to the full one.

    Algorithm 1 of Jamieson and Talwalkar 2016, with the rungs of Li et al. 2018. Brackets follow one another; where more
    is asked for than the rung at hand holds, the next bracket begins meanwhile.
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
        if bracket["effort"] >= 1:
            brackets.remove(bracket)
            return
        best = sorted(bracket["told"], key=lambda pair: -pair[1])
        kept = max(1, int(len(best) / self.config.eta))
        effort = bracket["effort"] * self.config.eta
        # A last rung that is nearly the full effort is the full one.
        bracket.update(todo=[c for c, _ in best[:kept]], told=[], size=kept, effort=1.0 if effort > 0.999 else effort)

    def restore(self, space: Any, state: Any) -> None:
        """Go on from a state."""
        super().restore(space, state)
        self.effort = 1.0

    def _bracket(self, seeds: list[Any]) -> dict[str, Any]:
        self.memory["made"] += 1
        samples = [self.space.sample(self.rng) for _ in range(self.config.candidates - len(seeds))]
        todo = [*seeds, *samples]
        number = self.memory["made"]
        return {"number": number, "effort": self.config.least, "todo": todo, "told": [], "size": len(todo)}

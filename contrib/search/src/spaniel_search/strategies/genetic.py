"""A genetic algorithm over generations."""

from __future__ import annotations

from typing import Any

from spaniel_search.candidates import digest
from spaniel_search.strategies.base import FAILED, Walker


class Genetic(Walker):
    """The best so far have children, by crossing two of them or by mutating one (Guo et al. 2020, algorithm 1).

    The first generation is the seeds and samples. The parents of a generation are the best of all candidates that were
    told when it began and did not fail; one that is already among them is not taken in again, so that two parents are
    never the same. With ``redraw`` no candidate is asked
    for twice while others are found (Wang, W-PCA, ICLR 2025, appendix E).
    """

    def begin(self) -> dict[str, Any]:
        return {"told": 0, "asked_for": 0, "best": [], "parents": [], "known": {}, "height": FAILED, "rise": 0}

    @property
    def ended(self) -> str:
        """Why the walk is over, in words; empty while it is not."""
        memory, patience = self.memory, self.config.patience
        since = memory["told"] // self.config.population - 1 - memory["rise"]
        return f"no new best in {patience} generations" if patience and since >= patience else ""

    def next(self) -> tuple[Any, Any]:
        self.memory["asked_for"] += 1
        candidate = self._child()
        for _ in range(self.config.redraw):
            if not self._is_known(candidate):
                break
            candidate = self._child()
        if self.config.redraw and self._is_known(candidate):
            candidate = self.space.sample(self.rng)
        self._know(candidate)
        return candidate, ""

    def _child(self) -> Any:
        parents = self.memory["parents"]
        if len(parents) < 2:
            return self.space.sample(self.rng)
        at = self.pick(len(parents))
        if self.rng.random() < self.config.crossing:
            # The other parent is another one.
            other = (at + 1 + self.pick(len(parents) - 1)) % len(parents)
            return self.space.cross(parents[at], parents[other], self.rng)
        return self.space.mutate(parents[at], self.rng)

    def _is_known(self, candidate: Any) -> bool:
        return digest(self.space, candidate) in self.memory["known"]

    def _know(self, candidate: Any) -> None:
        if self.config.redraw:
            self.memory["known"][digest(self.space, candidate)] = 1

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        memory = self.memory
        self._know(candidate)
        if score > memory["height"]:
            memory.update(height=score, rise=memory["told"] // self.config.population)
        memory["told"] += 1
        same = digest(self.space, candidate)
        if score > FAILED and all(same != digest(self.space, known) for known, _ in memory["best"]):
            memory["best"].append([candidate, score])
            # The sort is stable: of equals the one told first stays.
            memory["best"].sort(key=lambda pair: -pair[1])
            del memory["best"][self.config.parents :]
        if memory["told"] % self.config.population == 0:
            memory["parents"] = [known for known, _ in memory["best"]]

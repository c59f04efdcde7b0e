"""A genetic algorithm over generations."""

from __future__ import annotations

from typing import Any

from spaniel_search.strategies.base import Walker


class Genetic(Walker):
    """The best so far have children, by crossing two of them or by mutating one (Guo et al. 2020, algorithm 1).

    The first generation is the seeds and samples. The parents of a generation are the best of all candidates that were
    told when it began; a candidate that is already among them is not taken in again.
    """

    def begin(self) -> dict[str, Any]:
        return {"told": 0, "asked_for": 0, "best": [], "parents": []}

    def next(self) -> tuple[Any, Any]:
        self.memory["asked_for"] += 1
        parents = self.memory["parents"]
        if len(parents) < 2:
            return self.space.sample(self.rng), ""
        first = parents[self.pick(len(parents))]
        if self.rng.random() < self.config.crossing:
            second = parents[self.pick(len(parents))]
            return self.space.cross(first, second, self.rng), ""
        return self.space.mutate(first, self.rng), ""

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        memory = self.memory
        memory["told"] += 1
        if all(candidate != known for known, _ in memory["best"]):
            memory["best"].append([candidate, score])
            # The sort is stable: of equals the one told first stays.
            memory["best"].sort(key=lambda pair: -pair[1])
            del memory["best"][self.config.parents :]
        if memory["told"] % self.config.population == 0:
            memory["parents"] = [known for known, _ in memory["best"]]

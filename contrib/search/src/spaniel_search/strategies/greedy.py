"""Hill climbing with restarts."""

from __future__ import annotations

from typing import Any

from spaniel_search.strategies.base import FAILED, Walker


class Greedy(Walker):
    """Tries some mutations of the place where it stands, goes to the best where it is better, and else tries others.

    After ``patience`` rounds without a step it begins anew at a sample (random-restart hill climbing). It begins at the
    best of the seeds and of ``startup`` samples.
    """

    def begin(self) -> dict[str, Any]:
        return {"place": None, "score": FAILED, "climb": 0, "tried": [], "stuck": 0, "sampled": 0}

    def next(self) -> tuple[Any, Any]:
        memory = self.memory
        if memory["sampled"] < self.config.startup:
            memory["sampled"] += 1
            return self.space.sample(self.rng), None
        if memory["place"] is None:
            return self.space.sample(self.rng), memory["climb"]
        return self.space.mutate(memory["place"][0], self.rng), memory["climb"]

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        memory = self.memory
        if note is not None and note != memory["climb"]:
            return  # a neighbour of a place that it has left for good
        if memory["place"] is None or (note is None and score > memory["score"]):
            memory["place"], memory["score"] = [candidate], score
            return
        memory["tried"].append([candidate, score])
        if len(memory["tried"]) < self.config.neighbours:
            return
        best, height = max(memory["tried"], key=lambda pair: pair[1])
        memory["tried"] = []
        if height > memory["score"]:
            memory.update(place=[best], score=height, stuck=0)
            return
        memory["stuck"] += 1
        if memory["stuck"] >= self.config.patience:
            memory.update(place=None, score=FAILED, stuck=0, climb=memory["climb"] + 1)

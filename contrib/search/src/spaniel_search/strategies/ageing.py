"""Regularised (ageing) evolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from spaniel.protocols import SearchSpace

from spaniel_search.strategies.base import FAILED, Walker


class AgeingEvolution(Walker):
    """Of a few of the living the best has a mutated child; the oldest dies (Real et al. 2019, algorithm 1).

    The first population is the seeds, then samples; with ``fill`` it is the seeds alone, in turn, each scored once, as in
    seeded evolution over grammars (Ericsson et al., einspace, NeurIPS 2024); what is asked for before their scores are told
    is their children. After ``patience`` candidates without a new best all living die and a new population is sampled (a
    restart).
    """

    def start(self, space: SearchSpace, rng: np.random.Generator, seeds: Sequence[Any] = ()) -> None:
        super().start(space, rng, seeds)
        self.memory["planned"] = self.config.population if seeds and self.config.fill else len(seeds)
        self.memory["awaited"] = len(seeds) if self.config.fill else 0
        self.memory["parents"] = list(seeds) if self.config.fill else []

    def begin(self) -> dict[str, Any]:
        return {"living": [], "best": FAILED, "since": 0, "restarts": 0}

    def next(self) -> tuple[Any, Any]:
        memory = self.memory
        if memory["awaited"]:
            return self.space.mutate(memory["parents"][self.pick(len(memory["parents"]))], self.rng), memory["restarts"]
        if memory["planned"] < self.config.population or not memory["living"]:
            memory["planned"] += 1
            return self.space.sample(self.rng), memory["restarts"]
        drawn = [memory["living"][self.pick(len(memory["living"]))] for _ in range(self.config.sample)]
        parent = max(drawn, key=lambda pair: pair[1])[0]
        return self.space.mutate(parent, self.rng), memory["restarts"]

    def learn(self, candidate: Any, score: float, note: Any) -> None:
        memory = self.memory
        if note is not None and note != memory["restarts"]:
            return  # it was asked for before a restart
        memory["living"].append([candidate, score])
        if note is None and memory["awaited"]:
            memory["awaited"] -= 1
            if not memory["awaited"]:
                memory["parents"] = []
                seeds = memory["living"]
                memory["living"] = [seeds[at % len(seeds)] for at in range(self.config.population)]
        if len(memory["living"]) > self.config.population:
            memory["living"].pop(0)
        memory["since"] = 0 if score > memory["best"] else memory["since"] + 1
        memory["best"] = max(score, memory["best"])
        if self.config.patience and memory["since"] >= self.config.patience:
            memory.update(living=[], best=FAILED, since=0, planned=0, restarts=memory["restarts"] + 1)

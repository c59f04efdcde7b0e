"""The walk itself: ask, score, tell, with a journal from which it goes on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spaniel import ArtifactError
from spaniel.data.files import write_text
from spaniel.protocols import SearchSpace, Strategy

from spaniel_search.candidates import digest
from spaniel_search.config import Budget
from spaniel_search.evaluations import Evaluations
from spaniel_search.pool import Pool
from spaniel_search.strategies.base import FAILED
from spaniel_search.trials import Trial, nothing_spent, spend, used_up

JOURNAL, STATE = "walk.jsonl", "walk.json"
STALLED = 1000
"""Candidates asked for in a row that had all been scored before, after which a walk ends."""


class Walk:
    """Walks a space until the budget is used up, or nothing new is asked for.

    Candidates are asked for in batches, scored, and told in the order of asking, so that the number of processes changes
    nothing. After a batch its trials go to the journal and then the strategy's state is written; what was scored in a
    batch that a kill interrupts is in the evaluation cache. So a walk that goes on takes the same way, bit for bit.

    Args:
        space: the space.
        strategy: asks and is told.
        pool: scores.
        evaluations: the cache.
        budget: what may be spent.
        folder: where journal and state are.
        rng: the strategy's random stream, at its start.
        seed: the session's seed, part of the cache's keys.
        batch: candidates scored between two tellings.
        seeds: candidates to begin with.
    """

    def __init__(
        self,
        space: SearchSpace,
        strategy: Strategy,
        pool: Pool,
        evaluations: Evaluations,
        budget: Budget,
        folder: Path,
        *,
        rng: np.random.Generator,
        seed: int = 0,
        batch: int = 1,
        seeds: Sequence[Any] = (),
    ) -> None:
        self.space, self.strategy, self.pool, self.evaluations = space, strategy, pool, evaluations
        self.budget, self.seed, self.batch = budget, seed, batch
        self.journal, self.kept = folder / JOURNAL, folder / STATE
        self.trials: list[Trial] = []
        if not self._resume():
            # Strategies of others may know nothing of seeds.
            strategy.start(space, rng, list(seeds)) if seeds else strategy.start(space, rng)
        self.spent = nothing_spent()
        for trial in self.trials:
            spend(self.spent, trial)
        self._known = {(t.digest, t.effort): t for t in reversed(self.trials)}

    def run(self, advance: Callable[[int], None] = lambda done: None) -> str:
        """Walk to the end, and return why it ended.

        Args:
            advance: is told how many candidates were scored since it was last told.
        """
        advance(sum(not trial.repeated for trial in self.trials))
        while not (reason := self._over()):
            before = len(self.trials)
            self._step()
            self._keep(self.trials[before:])
            advance(sum(not trial.repeated for trial in self.trials[before:]))
        return reason

    def _over(self) -> str:
        if len(self.trials) >= STALLED and all(trial.repeated for trial in self.trials[-STALLED:]):
            return f"the last {STALLED} candidates asked for had all been scored before"
        # A strategy may know when to end; the protocol does not ask for it.
        return used_up(self.budget, self.spent) or str(getattr(self.strategy, "ended", ""))

    def _step(self) -> None:
        asked: list[tuple[Any, str, float]] = []
        fresh: dict[tuple[str, float], Any] = {}
        left = self.budget.candidates - self.spent["candidates"] if self.budget.candidates else float("inf")
        while len(fresh) < self.batch and len(asked) < self.batch + STALLED and left > 1e-9:
            candidate = self.strategy.ask()
            effort = float(getattr(self.strategy, "effort", 1.0))
            place = (digest(self.space, candidate), effort)
            asked.append((candidate, *place))
            if place not in self._known and place not in fresh:
                fresh[place] = candidate
                left -= effort
        found = self._score(fresh)
        for candidate, name, effort in asked:
            known = self._known.get((name, effort))
            number = len(self.trials)
            if known is None:
                trial = Trial(number, candidate, name, effort, **found[name, effort])
                self._known[name, effort] = trial
            else:
                trial = Trial(number, candidate, name, effort, known.score, error=known.error, repeated=True)
            self.trials.append(trial)
            spend(self.spent, trial)
            self.strategy.tell(candidate, FAILED if trial.score is None else trial.score)

    def _score(self, fresh: dict[tuple[str, float], Any]) -> dict[tuple[str, float], dict[str, Any]]:
        identity, objective = self.pool.objective.identity, self.pool.objective
        keys = {
            place: Evaluations.key(identity, objective.key(candidate), place[1], self.seed)
            for place, candidate in fresh.items()
        }
        found = {place: known for place, key in keys.items() if (known := self.evaluations.get(key)) is not None}
        missing = [place for place in fresh if place not in found]

        def done(at: int, result: dict[str, Any]) -> None:
            place = missing[at]
            found[place] = result
            if result["score"] is not None:
                self.evaluations.put(keys[place], result)

        self.pool.score([(fresh[place], place[1]) for place in missing], done)
        return found

    # Journal and state

    def _keep(self, trials: Sequence[Trial]) -> None:
        with self.journal.open("a", encoding="utf-8", newline="\n") as journal:
            journal.writelines(trial.to_line() for trial in trials)
            journal.flush()
            os.fsync(journal.fileno())
            size = journal.tell()
        state = {"trials": len(self.trials), "bytes": size, "strategy": self.strategy.state()}
        with write_text(self.kept) as file:
            json.dump(state, file, allow_nan=False)

    def _resume(self) -> bool:
        """Go on from the state; trials behind it belong to a batch that was not finished, and are dropped."""
        if not self.kept.is_file():
            self.journal.unlink(missing_ok=True)
            return False
        try:
            state = json.loads(self.kept.read_text(encoding="utf-8"))
            with self.journal.open("r+b") as journal:
                journal.truncate(state["bytes"])
            lines = self.journal.read_text(encoding="utf-8").splitlines()
            self.trials = [Trial.from_line(line) for line in lines]
            if len(self.trials) != state["trials"]:
                raise ValueError(f"{len(self.trials)} trials instead of {state['trials']}")
            self.strategy.restore(self.space, state["strategy"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ArtifactError(
                self.journal, f"the journal of the walk is damaged ({error}); remove its folder"
            ) from error
        return True

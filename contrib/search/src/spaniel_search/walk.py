"""The walk itself: ask, score, tell, with a journal from which it goes on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from spaniel import ArtifactError, UsageError
from spaniel.data.files import write_text
from spaniel.protocols import SearchSpace, Strategy

from spaniel_search.candidates import digest
from spaniel_search.config import Budget
from spaniel_search.evaluations import Evaluations
from spaniel_search.pool import Done, Pool
from spaniel_search.purse import Purse
from spaniel_search.scoring import Scored
from spaniel_search.strategies.base import FAILED
from spaniel_search.trials import Trial, best_of

JOURNAL, STATE, FAILURES = "walk.jsonl", "walk.json", "failures.sqlite"
STALLED = 1000
"""Candidates asked for in a row that had all been scored before, after which a walk ends."""
_LEAST = 1e-6
"""Effort that is less than any that a strategy asks for."""
Place = tuple[str, float]
"""The digest of a candidate, and the effort at which it is scored."""


class Walk:
    """Walks a space until the budget is used up, or nothing new is asked for.

    Candidates are asked for in batches, scored, and told in the order of asking, so that the number of processes changes
    nothing. After a batch its trials go to the journal and then the strategy's state is written; what was scored in a
    batch that a kill interrupts is in the evaluation cache, and what failed in a file beside the journal, so that it is not
    tried again. So a walk that goes on takes the same way, bit for bit.

    Args:
        space: the space.
        strategy: asks and is told.
        pool: scores.
        budget: what may be spent.
        folder: where journal and state are.
        rng: the strategy's random stream, at its start.
        batch: candidates scored between two tellings.
        seeds: candidates to begin with.
    """

    def __init__(
        self,
        space: SearchSpace,
        strategy: Strategy,
        pool: Pool,
        budget: Budget,
        folder: Path,
        *,
        rng: np.random.Generator,
        batch: int = 1,
        seeds: Sequence[Any] = (),
    ) -> None:
        self.space, self.strategy, self.pool = space, strategy, pool
        self.batch, self.folder = batch, folder
        self.journal, self.kept = folder / JOURNAL, folder / STATE
        self.failures = Evaluations(folder / FAILURES)
        self.staged = bool(getattr(pool.objective, "staged", False))
        self.trials: list[Trial] = []
        self.ended = ""
        self.waiting: list[Any] = []  # a candidate that was asked for, with its effort, and found no room in its batch
        if not self._resume():
            # Strategies of others may know nothing of seeds.
            strategy.start(space, rng, list(seeds)) if seeds else strategy.start(space, rng)
        self.purse = Purse(budget, self.trials)
        self._known = {(t.digest, t.effort): t for t in reversed(self.trials)}
        self._failed = {t.digest: t for t in reversed(self.trials) if t.score is None}

    @property
    def spent(self) -> Mapping[str, float]:
        """What was used of each part of a budget."""
        return self.purse.spent

    def run(self, advance: Callable[[int], None] = lambda done: None) -> str:
        """Walk to the end, and return why it ended.

        Args:
            advance: is told how many candidates were scored since it was last told.

        Raises:
            UsageError: the budget bounds nothing that candidates spend.
        """
        advance(sum(not trial.repeated for trial in self.trials))
        while not self.ended:
            self.ended = self._over()
            before = len(self.trials)
            if not self.ended:
                self._step()
            self._keep(self.trials[before:])
            advance(sum(not trial.repeated for trial in self.trials[before:]))
        return self.ended

    def complete(self, candidates: Sequence[Any]) -> None:
        """Score the best candidate, and these, at full effort where they were not, so that their scores can be compared.

        That is for the report, and beside the budget.
        """
        best = best_of(self.trials)
        if best is None or not self.staged:
            return
        wanted = {(digest(self.space, one), 1.0): one for one in (best.candidate, *candidates)}
        known = {*self._known, *((name, 1.0) for name in self._failed)}
        lacking = {place: one for place, one in wanted.items() if place not in known}
        found = self._score(lacking, None)
        before = len(self.trials)
        for (name, effort), scored in found.items():
            trial = _trial(len(self.trials), lacking[name, effort], name, effort, scored, final=True)
            self._known[name, effort] = trial
            self.trials.append(trial)
        self._keep(self.trials[before:])

    def forget(self) -> None:
        """Remove what is needed to go on; without its state a journal counts for nothing, so the state goes first."""
        self.failures.close()
        for path in (self.kept, self.journal, *sorted(self.folder.glob(f"{FAILURES}*"))):
            path.unlink(missing_ok=True)

    def _over(self) -> str:
        if len(self.trials) >= STALLED and all(trial.repeated for trial in self.trials[-STALLED:]):
            return f"the last {STALLED} candidates asked for had all been scored before"
        # A strategy may know when to end; the protocol does not ask for it.
        return self.purse.empty() or str(getattr(self.strategy, "ended", ""))

    def _step(self) -> None:
        asked: list[tuple[Any, str, float]] = []
        fresh: dict[Place, Any] = {}
        least = _LEAST if self.staged else 1.0
        while len(fresh) < self.batch and len(asked) < self.batch + STALLED:
            efforts = [effort for _, effort in fresh]
            if not self.waiting and fresh and self.purse.lacks([*efforts, least]):
                break
            candidate, effort = self.waiting.pop() if self.waiting else self._ask()
            place = (digest(self.space, candidate), effort)
            if place not in self._known and place[0] not in self._failed and place not in fresh:
                short = self.purse.lacks([*efforts, effort])
                if short:
                    self.waiting.append([candidate, effort])
                    self.ended = "" if asked else short
                    break
                fresh[place] = candidate
            asked.append((candidate, *place))
        found = self._score(fresh, self.purse)
        for candidate, name, effort in asked:
            known = self._known.get((name, effort))
            if known is None and (name, effort) not in found:
                known = self._failed.get(name)  # what failed at one effort is not tried at another
            number = len(self.trials)
            if known is None and (name, effort) not in found:
                # The seconds were used up before it was begun.
                self.ended = f"the budget of {self.purse.budget.seconds:,g} seconds is used up"
                return
            if known is None:
                trial = _trial(number, candidate, name, effort, found[name, effort])
                self._known[name, effort] = trial
                if trial.score is None:
                    self._failed[name] = trial
            else:
                trial = Trial(number, candidate, name, effort, known.score, error=known.error, repeated=True)
            self.trials.append(trial)
            self.purse.pay(trial)
            self.strategy.tell(candidate, FAILED if trial.score is None else trial.score)

    def _ask(self) -> tuple[Any, float]:
        candidate = self.strategy.ask()
        return candidate, float(getattr(self.strategy, "effort", 1.0)) if self.staged else 1.0

    def _score(self, fresh: Mapping[Place, Any], purse: Purse | None) -> dict[Place, Scored]:
        keys = {place: Evaluations.key("", place[0], place[1], 0) for place in fresh}
        found = {place: failed for place, key in keys.items() if (failed := self.failures.get(key)) is not None}
        missing = [place for place in fresh if place not in found]
        seconds = 0.0

        def done(at: int, scored: Scored) -> None:
            nonlocal seconds
            place = missing[at]
            seconds += scored.get("seconds", 0.0)
            cut = found.get(place)
            if cut is not None:
                for name, amount in cut["cost"].items():
                    scored["cost"][name] = scored["cost"].get(name, 0.0) + amount
            found[place] = scored
            if scored["score"] is None and not scored["cut"]:
                self.failures.put(keys[place], scored)

        def enough() -> bool:
            return purse is not None and purse.seconds_left <= seconds

        shares = purse.shares([effort for _, effort in missing]) if purse is not None else [{}] * len(missing)
        self.pool.score([(fresh[p], p[1], share) for p, share in zip(missing, shares, strict=True)], done, enough)
        if purse is None or len(missing) < 2:
            return found
        for at, place in enumerate(missing):
            if place not in found or not found[place]["cut"]:
                continue
            # What its share of the budget has cut short may have all that the others left.
            left = purse.left_after([scored for other, scored in found.items() if other != place], found[place])
            if all(amount > 0 for amount in left.values()):
                self.pool.score([(fresh[place], place[1], left)], partial(_at, done, at))
        return found

    # Journal and state

    def _keep(self, trials: Sequence[Trial]) -> None:
        with self.journal.open("a", encoding="utf-8", newline="\n") as journal:
            journal.writelines(trial.to_line() for trial in trials)
            journal.flush()
            os.fsync(journal.fileno())
            size = journal.tell()
        state = {
            "trials": len(self.trials),
            "bytes": size,
            "ended": self.ended,
            "waiting": self.waiting,
            "strategy": self.strategy.state(),
        }
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
            self.ended, self.waiting = str(state["ended"]), list(state["waiting"])
            self.strategy.restore(self.space, state["strategy"])
        except (ValueError, KeyError, TypeError, OSError, UsageError) as error:
            raise ArtifactError(
                self.journal, f"the journal of the walk is damaged ({error}); remove its folder"
            ) from error
        return True


def _at(done: Done, at: int, place: int, scored: Scored) -> None:
    done(at, scored)


def _trial(number: int, candidate: Any, name: str, effort: float, scored: Scored, final: bool = False) -> Trial:
    told = {key: scored[key] for key in ("score", "cost", "detail", "error")}
    return Trial(number, candidate, name, effort, seconds=scored.get("seconds", 0.0), final=final, **told)

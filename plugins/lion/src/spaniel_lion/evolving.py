"""The published search: several evolutions from one program, and one more from the best that they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spaniel import Context, Stage
from spaniel.protocols import Countable
from spaniel_search.config import Budget
from spaniel_search.objectives import ProxyObjective
from spaniel_search.searching import Plan, Result, search
from spaniel_search.trials import Trial

BATCH = 4
"""Candidates scored between two tellings: few, for each waits for what its parents' generation scored."""


@dataclass(frozen=True)
class Evolved:
    """What several walks found.

    Attributes:
        walks: one an evolution; the last one started from the best of the others.
    """

    walks: Sequence[Result]

    @property
    def best(self) -> Result:
        """The walk that found the best program, the first of equals."""
        return max(self.walks, key=lambda walk: walk.best.score or 0.0)

    @property
    def program(self) -> str:
        """The best program."""
        return str(self.best.best.candidate)

    @property
    def score(self) -> float:
        """Its score; higher is better."""
        return float(self.best.best.score or 0.0)

    def leaders(self, count: int) -> list[str]:
        """Return the programs with the best scores, each hash once."""
        trials = [trial for walk in self.walks for trial in walk.trials if trial.score is not None]
        best: dict[str, Trial] = {}
        for trial in sorted(trials, key=lambda t: -(t.score or 0.0)):
            best.setdefault(trial.digest, trial)
        return [str(trial.candidate) for trial in list(best.values())[:count]]

    @property
    def generated(self) -> int:
        """Programs that were generated."""
        return sum(len(walk.trials) for walk in self.walks)

    @property
    def repeated(self) -> float:
        """Share of them whose hash was known already, so that they cost nothing."""
        return sum(trial.repeated for walk in self.walks for trial in walk.trials) / self.generated


def evolve(
    context: Context,
    space: str,
    proxy: str,
    evaluations: int,
    *,
    population: int = 1000,
    tournament: int = 2,
    runs: int = 5,
    again: bool = True,
) -> Evolved:
    """Search a space of programs as the paper does (section 2.2).

    Every walk is an artifact: one that is stopped goes on, and one that is there is read.

    Args:
        context: the session.
        space: the space, such as ``programs``; each walk starts from a population of its first program alone.
        proxy: what scores programs, such as ``digits``.
        evaluations: programs that are scored, over all walks together.
        population: programs that live at a time.
        tournament: programs of which the best has a child.
        runs: evolutions from the first program.
        again: whether one more follows that starts from the best program so far.
    """
    objective = ProxyObjective(context, space, proxy)
    walks: list[Result] = []
    strategy = str(Stage("ageing-evolution", population=population, sample=tournament, fill=True))
    budget = Budget(candidates=evaluations // (runs + again))
    for number in range(runs + again):
        first = context.create("search_space", space).start if number < runs else Evolved(walks).program
        plan = Plan(space, strategy, budget, batch=BATCH, seeds=(first,), number=number)
        walks.append(search(context, plan, objective))
    return Evolved(walks)


def redundant_share(space: Countable, walk: Result, last: int) -> float:
    """Return the share of redundant statements of the programs that a walk generated last."""
    counts = [space.counts(trial.candidate) for trial in walk.trials[-last:]]
    return 1 - sum(count["statements"] for count in counts) / sum(count["length"] for count in counts)

"""What the plots show, as numbers: the best so far, and candidates by cost and score."""

from __future__ import annotations

from dataclasses import dataclass

from spaniel_search.searching import Result
from spaniel_search.trials import Trial

COST = "ms_per_query"
"""The cost that candidates are plotted against; their seconds of scoring stand in where it is not known."""


@dataclass(frozen=True)
class Step:
    """A trial on the way, with the best score at the highest effort so far; ``best`` is ``None`` before there is one."""

    trial: Trial
    spent: float
    best: float | None


def steps_of(result: Result) -> list[Step]:
    """Return every trial that was scored, with what was spent up to it, in candidates, and the best so far."""
    most = result.best.effort
    spent, best = 0.0, None
    made = []
    for trial in result.trials:
        if trial.repeated:
            continue
        spent += 0.0 if trial.final else trial.effort
        if trial.score is not None and trial.effort >= most - 1e-9:
            best = trial.score if best is None else max(best, trial.score)
        made.append(Step(trial, spent, best))
    return made


def cost_of(trial: Trial) -> float:
    """Return what a trial costs to run: milliseconds a query, or milliseconds of scoring it."""
    return trial.cost.get(COST, 1000 * trial.seconds)


def cost_words(result: Result) -> str:
    """Return the name of the cost in words."""
    return "milliseconds a query" if COST in result.best.cost else "milliseconds of scoring"


def compared(result: Result) -> list[Trial]:
    """Return the trials whose scores can be compared with the best one's: scored, once, at its effort."""
    most = result.best.effort
    return [t for t in result.trials if not t.repeated and t.score is not None and t.effort >= most - 1e-9]


def front_of(trials: list[Trial]) -> list[Trial]:
    """Return the trials that no other beats in both cost and score, the cheapest first."""
    front: list[Trial] = []
    for trial in sorted(trials, key=lambda t: (cost_of(t), -(t.score or 0.0), t.number)):
        if not front or (trial.score or 0.0) > (front[-1].score or 0.0):
            front.append(trial)
    return front

"""Trials: what a walk asked for, in order, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from spaniel_search.config import Budget


@dataclass(frozen=True)
class Trial:
    """A candidate that was asked for.

    Attributes:
        number: from 0, in the order of asking.
        candidate: the candidate.
        digest: its digest.
        effort: share of the full effort at which it was scored.
        score: higher is better; ``None`` where it failed.
        seconds: time of scoring it.
        cost: what scoring it cost.
        detail: what the objective says of it.
        error: why it failed.
        repeated: whether it had been scored in this walk already, so that it cost nothing.
        final: whether it was scored for the report, at the end and beside the budget.
    """

    number: int
    candidate: Any
    digest: str
    effort: float
    score: float | None
    seconds: float = 0.0
    cost: dict[str, float] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    repeated: bool = False
    final: bool = False

    def to_line(self) -> str:
        """Return the trial as a line of JSON."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Trial:
        """Return the trial that :meth:`to_line` wrote."""
        return cls(**json.loads(line))


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the best trial at the highest effort that was reached, the first of equals; ``None`` where all failed."""
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        return None
    most = max(trial.effort for trial in scored)
    return max((t for t in scored if t.effort >= most - 1e-9), key=lambda t: (t.score or 0.0, -t.number))


def nothing_spent() -> dict[str, float]:
    """Return the parts of a budget before the first trial."""
    return dict.fromkeys(Budget.model_fields, 0.0)


def spend(spent: dict[str, float], trial: Trial) -> None:
    """Add what a trial used to each part of a budget; one that was repeated, or is no part of the walk, used nothing.

    A score that told no model call is one call itself, so that calls bound every walk.
    """
    if trial.repeated or trial.final:
        return
    spent["candidates"] += trial.effort
    spent["seconds"] += trial.seconds
    spent["calls"] += max(1.0, trial.cost.get("model_calls", 0.0))
    spent["tokens"] += trial.cost.get("tokens", 0.0)


def used_up(budget: Budget, spent: Mapping[str, float]) -> str:
    """Return what of a budget is used up, in words; empty while nothing is."""
    for name, most in budget.model_dump().items():
        if most is not None and spent[name] >= most - 1e-9:
            return f"the budget of {most:,g} {name} is used up"
    return ""

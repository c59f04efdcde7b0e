"""What is left of a budget, and what a candidate may take of it: more than that is never spent knowingly."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spaniel import UsageError

from spaniel_search.config import Budget
from spaniel_search.scoring import Scored
from spaniel_search.trials import Trial, nothing_spent, spend, used_up

_COUNTED = ("calls", "tokens")
"""Parts of a budget of which nobody knows before what a candidate will take."""
_UNTOLD = 10
"""Candidates that may tell nothing of what alone bounds a walk, before that is taken to be a mistake."""
_SLACK = 1e-9


class Purse:
    """A budget and what was spent of it.

    A candidate is begun only where what the dearest one so far took, for its effort, is left; one that takes more than
    what is left is cut short.

    Args:
        budget: what may be spent.
        trials: what was tried before.
    """

    def __init__(self, budget: Budget, trials: Sequence[Trial] = ()) -> None:
        self.budget = budget
        self.spent = nothing_spent()
        self._rates = dict.fromkeys(_COUNTED, 0.0)
        self._paid = 0
        for trial in trials:
            self.pay(trial)

    @property
    def bounds(self) -> dict[str, float]:
        """Each part that is bounded, and its bound."""
        return {name: most for name, most in self.budget.model_dump().items() if most is not None}

    @property
    def seconds_left(self) -> float:
        """Seconds of scoring that are left."""
        most = self.budget.seconds
        return math.inf if most is None else most - self.spent["seconds"]

    def pay(self, trial: Trial) -> None:
        """Add what a trial used."""
        before = dict(self.spent)
        spend(self.spent, trial)
        if trial.repeated or trial.final:
            return
        self._paid += 1
        for name in _COUNTED:
            self._rates[name] = max(self._rates[name], (self.spent[name] - before[name]) / trial.effort)

    def empty(self) -> str:
        """Return what is used up, in words; empty while nothing is.

        Raises:
            UsageError: tokens are all that bounds the walk, and no candidate tells of any.
        """
        if self._paid >= _UNTOLD and set(self.bounds) == {"tokens"} and not self.spent["tokens"]:
            raise UsageError(
                f"a budget of tokens does not bound this walk: of {self._paid} candidates none has read or written any; "
                "give another one, such as --budget 200, 10min or 5000calls"
            )
        return used_up(self.budget, self.spent)

    def lacks(self, efforts: Sequence[float]) -> str:
        """Return, in words, what is not left for candidates at these efforts; empty where all is.

        Until one has told what it takes, one alone is begun.
        """
        bounds = self.bounds
        candidates = bounds.get("candidates", math.inf)
        if self.spent["candidates"] + sum(efforts) > candidates + _SLACK:
            return f"what is left of the budget of {candidates:,g} candidates is less than the next one takes"
        for name in _COUNTED:
            if name not in bounds:
                continue
            if not self._paid and len(efforts) > 1:
                return f"nobody has told yet how many {name} a candidate takes"
            takes = [self._rates[name] * effort for effort in efforts]
            if self.spent[name] + sum(takes) > bounds[name] + _SLACK:
                left = bounds[name] - self.spent[name]
                return f"of the budget of {bounds[name]:,g} {name} {left:,g} are left, and a candidate takes {takes[-1]:,g}"
        return ""

    def shares(self, efforts: Sequence[float]) -> list[dict[str, float]]:
        """Return what each candidate at these efforts may take, all of them together what is left."""
        whole = sum(efforts)
        lefts = {name: self.bounds[name] - self.spent[name] for name in _COUNTED if name in self.bounds}
        return [{name: left * effort / whole for name, left in lefts.items()} for effort in efforts]

    def left_after(self, others: Sequence[Scored], own: Scored) -> dict[str, float]:
        """Return what is left for a candidate beside what others of its batch took, and what it took itself before."""
        told = {"calls": "model_calls", "tokens": "tokens"}
        left = {}
        for name in _COUNTED:
            if name in self.bounds:
                least = 1.0 if name == "calls" else 0.0
                took = sum(max(least, scored["cost"].get(told[name], 0.0)) for scored in others)
                left[name] = self.bounds[name] - self.spent[name] - took - own["cost"].get(told[name], 0.0)
        return left

"""The candidate of a space that a proxy likes best, and what it has beside its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from spaniel import Context

from spaniel_search.correlation import correlate
from spaniel_search.objectives import ProxyObjective
from spaniel_search.proxies import counts_of
from spaniel_search.searching import Plan, Result, search


@dataclass(frozen=True)
class Generation:
    """What was asked for between two tellings.

    Attributes:
        number: from 1.
        scored: candidates that were new.
        repeated: candidates that had been scored before.
        best: the best score so far; higher is better, whatever the proxy's direction is.
    """

    number: int
    scored: int
    repeated: int
    best: float


@dataclass(frozen=True)
class Agreement:
    """How much of a walk is a walk for a size.

    Attributes:
        tau: tau-b of scores with the size, over what was scored; ``None`` where either is always the same.
        larger: share of what was scored that is larger than the best.
    """

    tau: float | None
    larger: float


@dataclass(frozen=True)
class Found:
    """A walk.

    Attributes:
        result: its trials.
        generations: in order.
        sizes: of the best, by name; empty where the space counts none.
        agreements: by the name of a size.
    """

    result: Result
    generations: list[Generation]
    sizes: Mapping[str, float]
    agreements: Mapping[str, Agreement]

    @property
    def candidate(self) -> Any:
        """The best."""
        return self.result.best.candidate

    @property
    def score(self) -> float:
        """The best's."""
        return self.result.best.score or 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "candidate": self.candidate,
            "score": self.score,
            "sizes": dict(self.sizes),
            "tried": self.result.tried,
            "failed": self.result.failed,
            "spent": dict(self.result.spent),
            "ended": self.result.ended,
            "agreements": {name: vars(one) for name, one in self.agreements.items()},
            "generations": [vars(one) for one in self.generations],
        }


def find(context: Context, plan: Plan, proxy: str) -> Found:
    """Walk a space for the candidate that a proxy likes best.

    Args:
        context: the session.
        plan: space, strategy and budget.
        proxy: what candidates are scored by.
    """
    result = search(context, plan, ProxyObjective(context, plan.space, proxy))
    space = context.create("search_space", plan.space)
    scored = [trial for trial in result.trials if trial.score is not None and not trial.repeated]
    best = dict(counts_of(space, result.best.candidate))
    counts = [counts_of(space, trial.candidate) for trial in scored]
    columns = {name: [count[name] for count in counts] for name in best}
    found = correlate([trial.score or 0.0 for trial in scored], columns, resamples=0) if columns else []
    agreements = {
        one.proxy: Agreement(one.tau, float(np.mean(np.array(columns[one.proxy]) > best[one.proxy]))) for one in found
    }
    return Found(result, _generations(result, plan.batch), best, agreements)


def _generations(result: Result, batch: int) -> list[Generation]:
    made: list[Generation] = []
    best = -np.inf
    for start in range(0, len(result.trials), batch):
        part = result.trials[start : start + batch]
        best = max([best, *(trial.score for trial in part if trial.score is not None)])
        repeated = sum(trial.repeated for trial in part)
        made.append(Generation(len(made) + 1, len(part) - repeated, repeated, float(best)))
    return made

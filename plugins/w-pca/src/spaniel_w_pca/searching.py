"""A search over a space of encoders by a proxy, and what it found beside what size alone would find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from spaniel import Context
from spaniel_search.config import Budget
from spaniel_search.correlation import correlate
from spaniel_search.objectives import ProxyObjective
from spaniel_search.proxies import counts_of
from spaniel_search.searching import Plan, Result, search

GENETIC = "genetic(redraw=10, patience=10)"
"""Wang 2025, appendix E: 50 a generation, the best 10 have children, half of them crossed; the rest is open there."""
POPULATION, GENERATIONS = 50, 40


@dataclass(frozen=True)
class Generation:
    """What was asked for between two tellings.

    Attributes:
        number: from 1.
        scored: candidates that were new.
        repeated: candidates that had been scored before.
        best: the best score so far.
    """

    number: int
    scored: int
    repeated: int
    best: float


@dataclass(frozen=True)
class Found:
    """A search.

    Attributes:
        result: its trials.
        candidate: the best.
        score: of the best.
        counts: sizes of the best.
        generations: in order.
        size_tau: tau-b of scores with parameters, over what was scored: how much of the search is size.
        larger: share of what was scored that has more parameters than the best.
    """

    result: Result
    candidate: Any
    score: float
    counts: dict[str, float]
    generations: list[Generation]
    size_tau: float | None
    larger: float


def find(
    context: Context,
    space: str,
    proxy: str = "w-pca",
    *,
    strategy: str = GENETIC,
    candidates: int = POPULATION * GENERATIONS,
    batch: int = POPULATION,
    processes: int = 1,
) -> Found:
    """Search for the candidate that a proxy likes best.

    Args:
        space: the space, with its options; its limit of parameters is what makes this a search.
        proxy: what candidates are scored by.
        strategy: how the space is walked.
        candidates: scored at most.
        batch: candidates scored between two tellings.
        processes: processes that score.
    """
    plan = Plan(space, strategy, Budget(candidates=candidates), batch=batch, processes=processes)
    result = search(context, plan, ProxyObjective(context, space, proxy))
    best = result.best
    made = context.create("search_space", space)
    scored = [trial for trial in result.trials if trial.score is not None and not trial.repeated]
    sizes = [counts_of(made, trial.candidate).get("parameters", 0.0) for trial in scored]
    (agreement,) = correlate([trial.score or 0.0 for trial in scored], {"parameters": sizes}, resamples=0)
    counts = dict(counts_of(made, best.candidate))
    return Found(
        result,
        best.candidate,
        best.score or 0.0,
        counts,
        _generations(result, batch),
        agreement.tau,
        float(np.mean(np.array(sizes) > counts.get("parameters", 0.0))),
    )


def _generations(result: Result, batch: int) -> list[Generation]:
    made: list[Generation] = []
    best = -np.inf
    for start in range(0, len(result.trials), batch):
        part = result.trials[start : start + batch]
        best = max([best, *(trial.score for trial in part if trial.score is not None)])
        repeated = sum(trial.repeated for trial in part)
        made.append(Generation(len(made) + 1, len(part) - repeated, repeated, float(best)))
    return made

"""Fusing runs over the same queries; all array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spaniel.data.run import Norm, Run
from spaniel.errors import UsageError


def fuse_rrf(runs: Sequence[Run], k: float = 60, weights: Sequence[float] | None = None) -> Run:
    """Sum weight / (k + rank) over the runs, ranks from 1; a run that lacks a document adds nothing.

    Source: Cormack, Clarke and Büttcher, SIGIR 2009.
    """
    parts = [1.0 / (k + 1 + run.ranks) for run in runs]
    floors = [np.zeros(len(run)) for run in runs]
    return _sum(runs, parts, floors, weights)


def fuse_weighted(
    runs: Sequence[Run],
    weights: Sequence[float] | None = None,
    norm: Norm = "min-max",
    missing: Literal["lowest", "zero"] = "lowest",
) -> Run:
    """Sum weight · normalised score over the runs.

    A document that a run lacks gets what the normalisation maps the run's lowest score for the query to (0 under
    ``min-max``), or 0 with ``missing="zero"``; a run without documents for a query adds 0.
    """
    normalised = [run.normalise(norm) for run in runs]
    floors = []
    for run in normalised:
        floor = np.zeros(len(run))
        filled = run.lengths > 0
        if missing == "lowest" and norm != "min-max":
            floor[filled] = run.scores[run.offsets[1:][filled] - 1]
        floors.append(floor)
    return _sum(normalised, [run.scores.astype(np.float64) for run in normalised], floors, weights)


def _sum(
    runs: Sequence[Run],
    parts: Sequence[NDArray[np.float64]],
    floors: Sequence[NDArray[np.float64]],
    weights: Sequence[float] | None,
) -> Run:
    if not runs or len({len(run) for run in runs}) > 1:
        raise UsageError(f"fusion needs runs over the same queries, not over {[len(run) for run in runs]}")
    factors = [1.0] * len(runs) if weights is None else list(weights)
    if len(factors) != len(runs):
        raise UsageError(f"{len(factors)} weights for {len(runs)} runs")
    width = 1 + max((int(run.rows.max()) for run in runs if len(run.rows)), default=0)
    owners = [run.owners for run in runs]
    keys, positions = np.unique(
        np.concatenate([owner * width + run.rows for owner, run in zip(owners, runs, strict=True)]), return_inverse=True
    )
    queries = keys // width
    total = np.zeros(len(keys))
    start = 0
    for run, part, floor, owner, factor in zip(runs, parts, floors, owners, factors, strict=True):
        total += factor * floor[queries]
        total[positions[start : start + len(run.rows)]] += factor * (part - floor[owner])
        start += len(run.rows)
    offsets = np.searchsorted(queries, np.arange(len(runs[0]) + 1))
    return Run.build(offsets, keys % width, total)

"""Fusing runs over the same queries; all array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spaniel.data.run import Norm, Run
from spaniel.errors import UsageError

Missing = Literal["lowest", "zero"]


Weights = Sequence[float] | NDArray[np.float64]
"""One weight a run; or an array ``(runs, queries)``, one for each query."""


def fuse_rrf(runs: Sequence[Run], k: float = 60, weights: Weights | None = None) -> Run:
    """Sum weight / (k + rank) over the runs, ranks from 1; a run that lacks a document adds nothing.

    Source: Cormack, Clarke and Büttcher, SIGIR 2009.

    Raises:
        UsageError: ``k`` is negative, or the runs or weights do not fit together.
    """
    if not k >= 0:
        raise UsageError(f"k is at least 0, not {k}")
    parts = [np.asarray(1.0 / (k + 1.0 + run.ranks), np.float64) for run in runs]
    return _sum(runs, parts, [np.zeros(len(run)) for run in runs], weights)


def fuse_weighted(
    runs: Sequence[Run],
    weights: Sequence[float] | None = None,
    norm: Norm = "min-max",
    missing: Missing = "lowest",
) -> Run:
    """Sum weight · normalised score over the runs.

    A document that a run lacks gets what the normalisation maps the run's lowest score for the query to (0 under
    ``min-max``), or 0 with ``missing="zero"``; a run without documents for a query adds 0.

    Raises:
        UsageError: an option is unknown, or the runs or weights do not fit together.
    """
    if missing not in get_args(Missing):
        raise UsageError(f"missing is {missing!r}; it can be {' or '.join(get_args(Missing))}")
    normalised = [run.normalise(norm) for run in runs]
    floors = []
    for run in normalised:
        floor = np.zeros(len(run))
        filled = run.lengths > 0
        # Under min-max the lowest is 0, also where all scores are equal and mapped to 1.
        if missing == "lowest" and norm != "min-max":
            floor[filled] = run.scores[run.offsets[1:][filled] - 1]
        floors.append(floor)
    return _sum(normalised, [run.scores.astype(np.float64) for run in normalised], floors, weights)


def _sum(
    runs: Sequence[Run],
    parts: Sequence[NDArray[np.float64]],
    floors: Sequence[NDArray[np.float64]],
    weights: Weights | None,
) -> Run:
    if not runs or len({len(run) for run in runs}) > 1:
        raise UsageError(f"fusion needs runs over the same queries, not over {[len(run) for run in runs]}")
    factors = np.asarray([1.0] * len(runs) if weights is None else weights, np.float64)
    if len(factors) != len(runs) or not np.isfinite(factors).all():
        raise UsageError(f"{len(runs)} runs need as many finite weights, not {factors.tolist()}")
    if factors.ndim == 2 and factors.shape[1] != len(runs[0]):
        raise UsageError(f"weights of each query: {factors.shape[1]} for {len(runs[0])} queries")
    width = 1 + max((int(run.rows.max()) for run in runs if len(run.rows)), default=0)
    keys, positions = np.unique(np.concatenate([run.owners * width + run.rows for run in runs]), return_inverse=True)
    queries = keys // width
    total = np.zeros(len(keys))
    start = 0
    for part, floor, factor in zip(parts, floors, factors, strict=True):
        values = floor[queries]
        values[positions[start : start + len(part)]] = part
        with np.errstate(over="ignore", invalid="ignore"):
            total += (factor[queries] if factors.ndim == 2 else factor) * values
        start += len(part)
    if len(total) and not np.abs(total).max() <= np.finfo(np.float32).max:
        raise UsageError(
            "a sum of weighted scores is infinite or too large for 32 bits: choose smaller weights, or a norm"
        )
    return Run.build(np.searchsorted(queries, np.arange(len(runs[0]) + 1)), keys % width, total)

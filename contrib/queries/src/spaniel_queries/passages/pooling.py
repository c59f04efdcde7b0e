"""Scores of passages → scores of documents; all array operations."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from spaniel import Run

from spaniel_queries.passages.corpus import Passages

Pool = Literal["max", "sum", "first", "mean"]


def absent_scores(run: Run, is_cut: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what a passage scores that a list lacks: ``(queries,)``.

    Where the list was cut off, the lowest score in it, than which it has no more. Where the list ended by itself the passage
    does not match: 0, or the lowest where that is less.
    """
    lowest = np.zeros(len(run))
    filled = run.lengths > 0
    lowest[filled] = run.scores[run.offsets[1:][filled] - 1]
    return np.where(is_cut, lowest, np.minimum(lowest, 0.0))


def pool_run(run: Run, passages: Passages, pool: Pool, best: int, absent: NDArray[np.float64]) -> Run:
    """Return a run of documents.

    Under ``mean``, a document's score is the mean of its ``best`` best passages, or of all where it has fewer; one that the
    list lacks has the score that ``absent`` says for the query, ``(queries,)``. Under ``sum`` it adds nothing, and under
    ``first`` a document whose first passage the list lacks is not in the run.
    """
    owners, documents, scores = run.owners, passages.documents[run.rows], run.scores.astype(np.float64)
    if pool == "first":
        kept = passages.numbers[run.rows] == 0
        offsets = np.searchsorted(owners[kept], np.arange(len(run) + 1))
        return Run.build(offsets, documents[kept], scores[kept])
    size = max(1, len(passages.sizes))
    # A list is in order, so that a document's passages stay so, the best first.
    order = np.argsort(owners * size + documents, kind="stable")
    keys, starts, counts = np.unique((owners * size + documents)[order], return_index=True, return_counts=True)
    queries, rows = np.divmod(keys, size)
    ordered = scores[order]
    if not len(keys):
        return Run.empty(len(run))
    if pool == "max":
        pooled = ordered[starts]
    elif pool == "sum":
        pooled = np.add.reduceat(ordered, starts)
    else:
        ranks = np.arange(len(ordered)) - np.repeat(starts, counts)
        wanted = np.minimum(best, passages.sizes[rows])
        found = np.minimum(wanted, counts)
        sums = np.add.reduceat(np.where(ranks < np.repeat(found, counts), ordered, 0.0), starts)
        pooled = (sums + (wanted - found) * absent[queries]) / wanted
    return Run.build(np.searchsorted(queries, np.arange(len(run) + 1)), rows, pooled)

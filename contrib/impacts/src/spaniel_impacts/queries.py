"""Queries as weighted terms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data import SparseVectors

from spaniel_impacts.postings import Postings


class Asked(NamedTuple):
    """Terms of queries: offsets ``(queries + 1,)``, term numbers and weights."""

    offsets: NDArray[np.int64]
    terms: NDArray[np.int32]
    weights: NDArray[np.float32]


def arrange(queries: SparseVectors, postings: Postings) -> Asked:
    """Return the terms of queries in descending order of what they can add at most, those that add nothing left out.

    Raises:
        UsageError: the queries have another vocabulary, or a weight that is negative or not finite.
    """
    if queries.width != postings.terms:
        raise UsageError(f"queries over {queries.width} terms, and an index of {postings.terms}")
    if len(queries.values) and not (queries.values.min() >= 0 and np.isfinite(queries.values.max())):
        raise UsageError("a query has a weight that is negative or not finite; weights of terms are 0 or more")
    if postings.bounds is None:
        raise UsageError("these postings have no bounds by which terms could be arranged")
    owners = np.repeat(np.arange(len(queries), dtype=np.int64), np.diff(queries.indptr))
    most = queries.values.astype(np.float64) * postings.bounds[queries.indices]
    if postings.steps is not None:
        most *= postings.steps[queries.indices]
    order = np.lexsort((queries.indices, -most, owners))
    order = order[most[order] > 0]
    offsets = np.searchsorted(owners[order], np.arange(len(queries) + 1)).astype(np.int64)
    return Asked(offsets, queries.indices[order], queries.values[order])

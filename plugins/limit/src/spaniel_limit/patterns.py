"""Which documents are relevant to which query (section 5.3 of the paper)."""

from __future__ import annotations

from itertools import chain, combinations, islice
from math import comb

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_limit.config import Pattern


def relevant_documents(
    pattern: Pattern, queries: int, documents: int, k: int, rng: np.random.Generator, balanced: bool = False
) -> NDArray[np.int64]:
    """Return the documents of each query: ``(queries, k)``, each line ascending but for ``cycle``.

    ``dense``: the first of all sets, in lexicographic order, of the fewest documents that have enough of them. ``random``:
    sets drawn from all documents. ``cycle``: documents ``i … i + k - 1`` for query ``i``, around the end. ``disjoint``: the
    next ``k`` documents.

    Args:
        rng: of ``random`` and ``balanced``.
        balanced: of ``dense``: sets are drawn from all, not the first taken.

    Raises:
        UsageError: there are too few documents.
    """
    if k > documents:
        raise UsageError(f"there are no sets of {k} among {documents} documents")
    if pattern == "random":
        drawn = [rng.choice(documents, k, replace=False) for _ in range(queries)]
        return np.sort(np.array(drawn, np.int64).reshape(queries, k), axis=1)
    if pattern == "cycle":
        found: NDArray[np.int64] = (np.arange(queries)[:, None] + np.arange(k)) % documents
        return found
    if pattern == "disjoint":
        if queries * k > documents:
            raise UsageError(
                f"disjoint sets of {k} for {queries} queries take {queries * k} documents, not {documents}"
            )
        return np.arange(queries * k, dtype=np.int64).reshape(queries, k)
    used = fewest_documents(queries, k)
    if used > documents:
        raise UsageError(
            f"{documents} documents have {comb(documents, k)} sets of {k}, too few for {queries} queries; it takes {used}"
        )
    if balanced:
        return all_sets(used, k)[np.sort(rng.choice(comb(used, k), queries, replace=False))]
    return all_sets(used, k, queries)


def fewest_documents(sets: int, k: int) -> int:
    """Return the smallest number of documents that have so many sets of ``k``."""
    used = k
    while comb(used, k) < sets:
        used += 1
    return used


def all_sets(n: int, k: int, count: int | None = None) -> NDArray[np.int64]:
    """Return all sets of ``k`` among ``n``, or the first ``count``, in lexicographic order: ``(sets, k)``."""
    size = comb(n, k) if count is None else min(count, comb(n, k))
    flat = chain.from_iterable(islice(combinations(range(n), k), size))
    return np.fromiter(flat, np.int64, size * k).reshape(size, k)

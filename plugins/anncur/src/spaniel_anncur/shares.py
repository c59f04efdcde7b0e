"""Which share of the budget anchors get, found on anchor queries: their scores with all documents are known already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spaniel.data import topk

from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Items, Plan, search

SHARES = (0.25, 0.5, 0.75)
_HELD_OUT = 5
_MOST = 64


def choose_share(items: Items, anchors: NDArray[np.int64], budget: int, k: int, solver: Solver, seed: int) -> int:
    """Return how many anchors find most of the best ``k`` for anchor queries that the fit leaves out.

    One anchor query in five is held out, 64 at most. No pair is scored: what a held-out query would be told is in the
    matrix. (The authors choose on the test queries.)

    Args:
        anchors: items to choose from, at least as many as the largest share says.
    """
    rng = np.random.default_rng(seed)
    count = items.features.shape[1]
    held = np.sort(rng.permutation(count)[: max(1, min(count // _HELD_OUT, _MOST))])
    kept = np.setdiff1d(np.arange(count), held)
    if not len(kept):
        return max(1, round(budget * SHARES[0]))
    exact = np.ascontiguousarray(items.features[:, held].T, np.float32)
    best, _ = topk(exact, min(k, len(items)))
    features = np.ascontiguousarray(items.features[:, kept])
    known = Items(features, None if items.means is None else features.mean(axis=1, dtype=np.float32))
    recalls = []
    for share in SHARES:
        size = min(max(1, round(budget * share)), len(anchors))
        first = np.tile(np.sort(rng.choice(anchors, size, replace=False)), (len(held), 1))
        sizes = (size, budget - size) if budget > size else (size,)
        rngs = [np.random.default_rng([seed, query]) for query in range(len(held))]
        found = search(known, lambda owners, places: exact[owners, places], first, Plan(sizes), solver, rngs)
        hits = [np.isin(best[query], found.seen[query]).mean() for query in range(len(held))]
        recalls.append(float(np.mean(hits)))
    return max(1, round(budget * SHARES[int(np.argmax(recalls))]))

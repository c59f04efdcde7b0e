"""What retrievers and the reranker share: blocks of queries through the rounds, and runs of what was scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run

from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Found, Items, Plan, search

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_anncur.scoring import PairScorer

ESTIMATES = 2**25
"""Estimates held at once, of four bytes each."""
FEATURES = 2**26
"""Numbers of all features that the queries of a block are fitted to at once."""


class Searcher:
    """Runs the rounds for queries over items whose rows are known.

    Args:
        items: what is searched.
        rows: ``(n,)`` the row of each item.
        scorer: asked for exact scores.
        plan: the rounds.
        solver: of the fits.
        name: of the component, for its random streams.
    """

    def __init__(
        self,
        context: Context,
        items: Items,
        rows: NDArray[np.int32],
        scorer: PairScorer,
        plan: Plan,
        solver: Solver,
        name: str,
    ) -> None:
        self.context = context
        self.items = items
        self.rows = rows
        self.scorer = scorer
        self.plan = plan
        self.solver = solver
        self.name = name

    @property
    def block(self) -> int:
        """Queries that are searched for together."""
        fitted: int = max(1, sum(self.plan.sizes)) * self.items.features.shape[1]
        return max(1, min(ESTIMATES // max(1, len(self.items)), FEATURES // max(1, fitted)))

    def find(
        self,
        texts: Sequence[str],
        corpus: Corpus,
        begin: NDArray[np.int64],
        candidates: NDArray[np.bool_] | None = None,
        own: NDArray[np.float32] | None = None,
    ) -> Found:
        """Search for some queries together; see :func:`spaniel_anncur.rounds.search`."""

        def ask(owners: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.float32]:
            return self.scorer.score(texts, owners, self.rows[places], corpus)

        # The stream of a query hangs on its text alone, so that it is searched as if it were alone.
        rngs = [self.context.rng(self.name, text) for text in texts]
        return search(self.items, ask, begin, self.plan, self.solver, rngs, candidates, own)

    def places(self, run: Run, size: int) -> NDArray[np.int64]:
        """Return the items of the first ``size`` documents of each list, ``(queries, size)``, -1 where there is none."""
        order = np.argsort(self.rows, kind="stable")
        made = np.full((len(run), size), -1, np.int64)
        kept = run.cut(size)
        if len(order):
            at = np.minimum(np.searchsorted(self.rows, kept.rows, sorter=order), len(order) - 1)
            place = np.where(self.rows[order[at]] == kept.rows, order[at], -1)
            made[kept.owners, kept.ranks] = place
        return made


def blocks(queries: Queries, size: int, find: Callable[[slice, list[str]], Run], advance: Callable[[int], None]) -> Run:
    """Return the runs of blocks of queries, one after the other; queries without a word get empty lists.

    Args:
        find: place of the block among all that have words, and its texts → its lists.
    """
    asked = [position for position, text in enumerate(queries.texts) if text.strip()]
    parts = []
    for start in range(0, len(asked), size):
        chosen = asked[start : start + size]
        parts.append(find(slice(start, start + len(chosen)), [queries.texts[position] for position in chosen]))
        advance(len(chosen))
    advance(len(queries) - len(asked))
    found = Run.concatenate(parts)
    lengths = np.zeros(len(queries), np.int64)
    lengths[asked] = found.lengths
    return Run.build(np.concatenate([[0], np.cumsum(lengths)]), found.rows, found.scores)


def scored_run(found: Found, rows: NDArray[np.int32]) -> Run:
    """Return lists of everything that was scored, with exact scores."""
    named = np.where(found.seen >= 0, rows[found.seen.clip(min=0)], -1) if len(rows) else found.seen
    return Run.from_matrix(named, found.scores)


def filled_run(found: Found, items: Items, rows: NDArray[np.int32], k: int) -> Run:
    """Return lists of everything that was scored and, behind it, of the rest by its estimates, ``k`` documents in all.

    The score of an estimated document is its estimate, moved down so that the best of them scores just less than the
    lowest exact score of the list.
    """
    estimates = items.estimate(found.fit())
    lowest = np.where(found.seen >= 0, found.scores, np.inf).min(axis=1, initial=np.inf)
    lists = []
    for query in range(len(found.seen)):
        seen = found.seen[query][found.seen[query] >= 0]
        left = np.setdiff1d(np.arange(len(rows)), seen)
        values = np.nan_to_num(estimates[query, left])
        order = np.lexsort((rows[left], -values))[: max(0, k - len(seen))]
        behind = values[order] - values[order[:1]].sum() if len(order) else values[order]
        top = lowest[query] if np.isfinite(lowest[query]) else 0.0
        moved = np.nextafter(np.float32(top), np.float32(-np.inf)) + behind.astype(np.float32)
        exact = found.scores[query][found.seen[query] >= 0]
        lists.append(
            list(
                zip(
                    np.concatenate([rows[seen], rows[left[order]]]).tolist(),
                    np.concatenate([exact, moved]).tolist(),
                    strict=True,
                )
            )
        )
    return Run.from_lists(lists)

"""Which dimension the judgments of a collection need: free embeddings fitted to them, in the fewest dimensions.

Whether vectors return all sets does not change where queries that want the same are one, where documents that are wanted by
the same queries are one, and where one stands for all that nothing wants. So the fit is to what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spaniel.store import digest_bytes

from spaniel_limit.config import NeededConfig, TrainingConfig
from spaniel_limit.critical import Trial, fit_need, read_trial
from spaniel_limit.ranking import Wanted

if TYPE_CHECKING:
    from spaniel import Context


class Core(NamedTuple):
    """What is left of judgments.

    Attributes:
        wanted: the rows, of classes of documents, that each distinct set is made of.
        documents: classes; the last one is of those that nothing wants, if there are any.
    """

    wanted: Wanted
    documents: int

    @property
    def enough(self) -> int:
        """Dimensions in which some vectors return every set, whether training finds them or not.

        Twice the classes of the largest set (the moment curve), or as many as let all classes be affinely independent.
        """
        return max(1, min(2 * int(self.wanted.sizes.max()), self.documents - 1))


class Needed(NamedTuple):
    """A search and what it tried.

    Attributes:
        d: the fewest dimensions of those tried in which every set was returned; ``None`` where there are none.
        sets: distinct sets that were fitted.
        documents: classes of documents that were told apart.
        k: relevant documents of a query, at the most.
        enough: dimensions in which some vectors return every set, whether training finds them or not.
        trials: every training, by dimension.
    """

    d: int | None
    sets: int
    documents: int
    k: int
    enough: int
    trials: tuple[Trial, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**self._asdict(), "trials": [trial._asdict() for trial in self.trials]}


def core_of(wanted: Wanted, n: int) -> Core:
    """Return what is left of judgments.

    Args:
        wanted: the rows that each query wants.
        n: documents.
    """
    sets = wanted.distinct()
    wanting: dict[int, list[int]] = {}
    for number, rows in enumerate(sets):
        for row in rows.tolist():
            wanting.setdefault(row, []).append(number)
    classes: dict[tuple[int, ...], int] = {}
    of = {row: classes.setdefault(tuple(numbers), len(classes)) for row, numbers in sorted(wanting.items())}
    merged = Wanted.from_sets([sorted({of[row] for row in rows.tolist()}) for rows in sets])
    return Core(merged, len(classes) + (len(wanting) < n))


def search_dimension(context: Context, wanted: Wanted, n: int, options: NeededConfig) -> Needed:
    """Search the fewest dimensions in which free embeddings return every set that judgments want.

    Each training is kept in the store, so a search that was stopped goes on. A training that fails says nothing for certain:
    another first guess may do.

    Args:
        context: the session.
        wanted: the rows that each query wants.
        n: documents.
        options: the search.
    """
    if options.queries is not None and options.queries < wanted.queries:
        drawn = np.random.default_rng(options.seed + 1).choice(wanted.queries, options.queries, replace=False)
        bounds = wanted.bounds
        wanted = Wanted.from_sets([wanted.rows[bounds[q] : bounds[q + 1]].tolist() for q in np.sort(drawn).tolist()])
    core = core_of(wanted, n)
    facts = {"wanted": digest_bytes(core.wanted.owners.tobytes() + core.wanted.rows.tobytes()), "n": core.documents}
    tried: dict[int, Trial] = {}

    def solves(d: int) -> bool:
        if d not in tried:
            settings = TrainingConfig(d=d, seed=options.seed, max_iter=options.max_iter)
            need = fit_need(settings, lambda: core.wanted, core.documents, facts)
            tried[d] = read_trial(context, need, settings, core.documents)
            context.advance(1)
        return tried[d].solved

    for d in options.dimensions:
        solves(d)
    if not options.dimensions:
        _bisect(solves, core.documents)
    solved = [d for d, trial in tried.items() if trial.solved]
    trials = tuple(tried[d] for d in sorted(tried))
    k = int(wanted.sizes.max())
    return Needed(min(solved, default=None), core.wanted.queries, core.documents, k, core.enough, trials)


def _bisect(solves: Any, most: int) -> None:
    """Try 1, 2, 4 … up to ``most`` dimensions, in which vectors at right angles do it, then halve the bracket."""
    bad, good = 0, 1
    while not solves(good):
        if good >= most:
            return
        bad, good = good, min(2 * good, most)
    while good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if solves(middle) else (good, middle)

"""What flows through a pipeline: the queries, what the next stage is asked instead of them, and the run so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaniel.data import Queries, Run, Variants, fuse_rrf
from spaniel.pipeline.bind import Bound


@dataclass(frozen=True)
class Flow:
    """What a stage is given.

    Attributes:
        queries: the questions, as every stage sees them that is not asked something else.
        run: the list of each, behind the last stage that gave one; ``None`` before the first.
        variants: what the next stage is asked instead, where a rewriter has said so.
    """

    queries: Queries
    run: Run | None = None
    variants: Variants | None = None

    def asked(self, query: int = 0) -> list[tuple[str, float]]:
        """Return the texts that the next stage is asked for a query, with their weights."""
        return [(self.queries.texts[query], 1.0)] if self.variants is None else self.variants.weighted(query)

    @property
    def size(self) -> int:
        """How many texts the next stage is asked."""
        return len(self.queries) if self.variants is None else sum(map(len, self.variants.texts))


Call = Callable[[Queries, Run | None], Any]


def run_stage(bound: Bound, flow: Flow, call: Call) -> Flow:
    """Run one stage and return what the next is given.

    Queries keep their ids: the first texts of all are asked together, then the second ones of those that have several.

    Args:
        bound: the stage.
        flow: what it is given.
        call: runs it on queries and, where it reads one, their run; checks what comes back.
    """
    run = flow.run if bound.follows != "never" else None
    parts = [(places, call(queries, _lists(run, places))) for places, queries in _asked(flow)]
    if bound.gives == "queries":
        return _rewritten(flow, parts)
    return Flow(flow.queries, parts[0][1] if flow.variants is None else _fused(flow.variants, parts))


def _fused(variants: Variants, parts: list[tuple[NDArray[np.int64], Run]]) -> Run:
    """Return one list a query; that of a query with one text stays as it is, whatever others have."""
    first, size = parts[0][1], len(variants)
    several = np.flatnonzero([len(texts) > 1 for texts in variants.texts])
    if not len(several):
        return first
    weights = np.zeros((len(parts), size))
    for at, (places, _) in enumerate(parts):
        weights[at, places] = [variants.weighted(place)[at][1] for place in places]
    runs = [_spread(made, places, size).select(several) for places, made in parts]
    chosen = np.arange(size)
    chosen[several] = size + np.arange(len(several))
    return Run.concatenate([first, fuse_rrf(runs, variants.k, weights[:, several])]).select(chosen)


def _asked(flow: Flow) -> list[tuple[NDArray[np.int64], Queries]]:
    """Return the queries to ask at once, with their positions."""
    everything = np.arange(len(flow.queries))
    if flow.variants is None:
        return [(everything, flow.queries)]
    texts = flow.variants.texts
    made = []
    for at in range(max(map(len, texts), default=1)):
        places = np.array([place for place in everything if len(texts[place]) > at], np.int64)
        queries = flow.queries.select(places.tolist())
        made.append((places, replace(queries, texts=tuple(texts[place][at] for place in places))))
    return made


def _lists(run: Run | None, places: NDArray[np.int64]) -> Run | None:
    return run if run is None or len(places) == len(run) else run.select(places)


def _spread(run: Run, places: NDArray[np.int64], queries: int) -> Run:
    """Return the lists of some queries among those of all, the others' empty."""
    lengths = np.zeros(queries, np.int64)
    lengths[places] = run.lengths
    return Run(np.concatenate([[0], np.cumsum(lengths)]), run.rows, run.scores)


def _rewritten(flow: Flow, parts: list[tuple[NDArray[np.int64], Queries | Variants]]) -> Flow:
    if flow.variants is None:
        made = parts[0][1]
        return Flow(made, flow.run) if isinstance(made, Queries) else Flow(flow.queries, flow.run, made)
    # What is already for the next stage alone stays so; each text is replaced by what was made of it.
    texts: list[list[str]] = [[] for _ in flow.queries.ids]
    weights: list[list[float]] = [[] for _ in flow.queries.ids]
    k = flow.variants.k
    for at, (places, made) in enumerate(parts):
        k = made.k if isinstance(made, Variants) else k
        for number, place in enumerate(places.tolist()):
            of = [(made.texts[number], 1.0)] if isinstance(made, Queries) else made.weighted(number)
            weight = flow.variants.weighted(place)[at][1]
            texts[place] += [text for text, _ in of]
            weights[place] += [weight * own for _, own in of]
    return Flow(flow.queries, flow.run, Variants.from_lists(texts, weights, k))

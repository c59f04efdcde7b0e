"""The largest number of documents of which free embeddings return every set, for a dimension."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spaniel import UsageError
from spaniel.store import Draft, Need, Recipe

from spaniel_limit.bounds import PUBLISHED_CRITICAL, PUBLISHED_CUBIC, Cubic
from spaniel_limit.config import CriticalConfig, FreeEmbeddingConfig, TrainingConfig
from spaniel_limit.free import fit_wanted, sets_of
from spaniel_limit.ranking import Wanted

if TYPE_CHECKING:
    from spaniel import Context

VERSION = "2"
"""Version of the training's rules; part of the address of every result."""
_RESULT, _QUERIES, _DOCUMENTS = "result.json", "queries.npy", "documents.npy"


class Trial(NamedTuple):
    """What one training came to, from the store.

    Attributes:
        n: documents.
        d: dimensions.
        solved: whether every set was returned.
        whole: how many were, at the best look.
        accuracy: share of the relevant documents that were returned, at that look.
        loss: of the last update.
        iterations: updates.
        seconds: that it took when it was run.
    """

    n: int
    d: int
    solved: bool
    whole: int
    accuracy: float
    loss: float
    iterations: int
    seconds: float


class Critical(NamedTuple):
    """A search and what it tried.

    Attributes:
        d: dimensions.
        n: the largest number of documents that was solved below the first failure; 0 where none was.
        trials: every training, by number of documents.
    """

    d: int
    n: int
    trials: tuple[Trial, ...]

    @property
    def largest_solved(self) -> int:
        """The largest number of documents that was solved at all; failures may lie below it."""
        return max((trial.n for trial in self.trials if trial.solved), default=0)


def training_need(options: FreeEmbeddingConfig) -> Need:
    """Name the vectors of a training on every set of ``k``; see :func:`fit_need`."""
    return fit_need(options, lambda: Wanted.from_sets(sets_of(options)), options.n)


def train(context: Context, options: FreeEmbeddingConfig) -> Trial:
    """Return the result of a training on every set of ``k``; one that was run before is read from the store."""
    return read_trial(context, training_need(options), options, options.n)


def fit_need(
    options: TrainingConfig, wanted: Callable[[], Wanted], n: int, facts: Mapping[str, Any] | None = None
) -> Need:
    """Name the vectors of a training in the store: ``queries.npy`` and ``documents.npy``, with ``result.json``.

    Args:
        options: the training.
        wanted: gives what it is fitted to.
        n: documents.
        facts: what of ``wanted`` the options do not say, as JSON.
    """

    def build(draft: Draft) -> None:
        found = fit_wanted(wanted(), n, options, draft.progress(options.max_iter, "updates"))
        np.save(draft.file(_QUERIES), found.queries, allow_pickle=False)
        np.save(draft.file(_DOCUMENTS), found.documents, allow_pickle=False)
        told = {"solved": found.solved, "whole": found.whole, "accuracy": found.accuracy, "loss": found.loss}
        told |= {"iterations": found.iterations, "seconds": round(draft.seconds, 3)}
        draft.file(_RESULT).write_text(json.dumps(told), encoding="utf-8")

    config = {**options.model_dump(exclude={"seed"}), **(facts or {})}
    return Need(Recipe("free-embeddings", "spaniel-limit/free-embeddings", VERSION, config, options.seed), build)


def read_trial(context: Context, need: Need, options: TrainingConfig, n: int) -> Trial:
    """Return the result of a training, from the store; what was not run yet is run."""
    artifact = context.obtain(need)
    told: dict[str, Any] = json.loads((artifact.path / _RESULT).read_text(encoding="utf-8"))
    return Trial(n, options.d, **told)


def start_of(d: int, k: int) -> int:
    """Return where the published curve, which is of pairs, says to begin."""
    guess = PUBLISHED_CRITICAL.get(d) or round(Cubic(PUBLISHED_CUBIC, 1.0)(d))
    return max(k + 1, d + 1 if d < 4 else guess)


def search(context: Context, options: CriticalConfig, **more: Any) -> Critical:
    """Search the critical number of documents.

    A search that was stopped goes on, since each training is kept in the store.

    Args:
        context: the session.
        options: the search.
        more: options of the trainings, see :class:`FreeEmbeddingConfig`.

    Raises:
        UsageError: no number up to ``largest`` fails.
    """
    tried: dict[int, Trial] = {}

    def solves(n: int) -> bool:
        if n < options.k:
            return True
        if n > options.largest:
            raise UsageError(
                f"{options.d} dimensions return every set of {options.k} among {options.largest} documents"
            )
        if n not in tried:
            settings = {"n": n, "d": options.d, "k": options.k, "seed": options.seed, **more}
            tried[n] = train(context, FreeEmbeddingConfig(**settings))
            context.advance(1)
        return tried[n].solved

    start = options.start if options.start is not None else start_of(options.d, options.k)
    found = _gallop(solves, start) if options.strategy == "gallop" else _near(solves, start)
    if options.sweep is not None:
        for n in range(max(options.k, found + options.sweep[0]), found + options.sweep[1] + 1):
            solves(n)
    return Critical(options.d, found if found in tried else 0, tuple(tried[n] for n in sorted(tried)))


def _near(solves: Any, start: int) -> int:
    """Step from the start to the number whose successor fails."""
    n = start
    if solves(n):
        while solves(n + 1):
            n += 1
        return n
    while not solves(n):
        n -= 1
    return n


def _gallop(solves: Any, start: int) -> int:
    """Bracket by steps of 1, 2, 4 …, then halve the bracket."""
    step, good, bad = 1, start, start
    if solves(start):
        bad = start + step
        while solves(bad):
            good, step = bad, 2 * step
            bad = good + step
    else:
        good = start - step
        while not solves(good):
            bad, step = good, 2 * step
            good = bad - step
    good = max(good, 0)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if solves(middle) else (good, middle)
    return good

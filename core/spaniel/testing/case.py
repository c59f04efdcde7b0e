"""A component under test, with all that its promises are checked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spaniel.context import Context
from spaniel.data import Corpus, Queries, Run
from spaniel.expression import Stage
from spaniel.plugins import Registered, Registry, load_registry
from spaniel.testing.collections import Collection, collection

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Case:
    """A component with its options, and fresh sessions to use it in.

    Args:
        component: ``"kind/name"`` or ``"kind/distribution/name"``.
        folder: an empty folder for stores.
        options: the component's options.
        target: for explainers, the pipeline stage that is explained.
        space: for proxies and strategies, the search space.
        plugins: plugins at hand, beside those that are installed.
        tolerance: by how much scores may differ, relative to the larger one and at least 1, where batches differ.
    """

    def __init__(
        self,
        component: str,
        folder: Path,
        *,
        options: Mapping[str, Any] | None = None,
        target: str | None = None,
        space: str | None = None,
        plugins: Sequence[object] = (),
        tolerance: float = 1e-4,
    ) -> None:
        self.kind, _, name = component.partition("/")
        self.expression = Stage(name, **(options or {}))
        self.folder = folder
        self.target = target
        self.space = space
        self.plugins = plugins
        self.tolerance = tolerance

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins, and those at hand."""
        registry = load_registry(warn=False)
        for number, plugin in enumerate(self.plugins):
            registry.register(plugin, f"at-hand-{number}")
        return registry

    @cached_property
    def registered(self) -> Registered:
        """The component as it was declared."""
        return self.registry.find(self.kind, self.expression.name)

    def context(self, store: str = "store", *, seed: int = 0, batch_size: int | None = None) -> Context:
        """Return a new session; sessions with one ``store`` share what was built."""
        return Context(self.folder / store, device="cpu", seed=seed, batch_size=batch_size, registry=self.registry)

    def make(self, context: Context) -> Any:
        """Return the component as a session makes it."""
        return context.create(self.kind, self.expression)

    @cached_property
    def plain(self) -> Collection:
        """The ordinary small collection."""
        return collection()


class Lacking(AssertionError):
    """A promise cannot be checked with what the case was given: the message says what is lacking."""


def expect(condition: bool, message: str) -> None:
    """Raise where a promise is not kept.

    Raises:
        AssertionError: with the message.
    """
    if not condition:
        raise AssertionError(message)


def expect_run(run: Any, queries: Queries, corpus: Corpus, what: str) -> Run:
    """Check that something is a run over queries and a corpus, without repeated documents and with finite scores."""
    expect(isinstance(run, Run), f"{what} returned {type(run).__name__}, not a Run")
    expect(len(run) == len(queries), f"{what} returned {len(run)} lists for {len(queries)} queries")
    if len(run.rows):
        low, high = int(run.rows.min()), int(run.rows.max())
        expect(low >= 0 and high < len(corpus), f"{what} returned rows {low} to {high} of {len(corpus)} documents")
    for query in range(len(run)):
        rows, scores = run.of(query)
        expect(len(set(rows.tolist())) == len(rows), f"{what} returned a document twice for query {query}")
        expect(bool(np.isfinite(scores).all()), f"{what} returned a score that is not finite for query {query}")
    ordered = Run.build(run.offsets, run.rows, run.scores)
    expect(np.array_equal(ordered.rows, run.rows), f"{what} returned a list out of order: use Run.build")
    result: Run = run
    return result


def expect_same_run(first: Run, second: Run, what: str) -> None:
    """Check that two runs are equal in every bit."""
    if not all(
        np.array_equal(getattr(first, field), getattr(second, field)) for field in ("offsets", "rows", "scores")
    ):
        raise AssertionError(f"{what}: {_difference(first, second)}")


def expect_close_runs(first: Run, second: Run, tolerance: float, what: str) -> None:
    """Check that two runs hold the same documents with nearly the same scores; near ties may change places.

    A document at the end of a list may be another one, where its score is nearly the same.
    """
    expect(np.array_equal(first.offsets, second.offsets), f"{what}: lists of other lengths")
    for query in range(len(first)):
        rows, scores = first.of(query)
        others, other_scores = second.of(query)
        expect_close(scores, other_scores, tolerance, f"{what}, query {query}")
        known = dict(zip(others.tolist(), other_scores.tolist(), strict=True))
        last = float(scores[-1]) if len(scores) else 0.0
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            other = known.get(row, last)
            close = abs(score - other) <= tolerance * max(1.0, abs(score))
            expect(close, f"{what}, query {query}: row {row} scores {score:.6g} and {other:.6g}")


def expect_close(first: ArrayLike, second: ArrayLike, tolerance: float, what: str) -> None:
    """Check that arrays are equal up to a tolerance, relative to the larger values and at least to 1."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    expect(a.shape == b.shape, f"{what}: shapes {a.shape} and {b.shape}")
    gap = np.abs(a - b) - tolerance * np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    if gap.size and gap.max() > 0:
        place = np.unravel_index(int(gap.argmax()), gap.shape)
        raise AssertionError(f"{what}: {a[place]:.8g} and {b[place]:.8g}")


def _difference(first: Run, second: Run) -> str:
    if not np.array_equal(first.offsets, second.offsets):
        return "lists of other lengths"
    place = int(np.flatnonzero((first.rows != second.rows) | (first.scores != second.scores))[0])
    query = int(np.searchsorted(first.offsets, place, side="right")) - 1
    pairs = [f"row {run.rows[place]} with {run.scores[place]:.9g}" for run in (first, second)]
    return f"query {query}, rank {place - int(first.offsets[query]) + 1}: {pairs[0]} and {pairs[1]}"

"""What the forms of vectors share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spaniel.errors import UsageError

Metric = Literal["cosine", "dot", "hamming"]
"""What compares two vectors; vectors under ``cosine`` are kept at length 1, so that their dot product is the cosine."""
BLOCK = 2**24
"""Numbers that are converted or multiplied at once, whatever the size of what is compared."""


def check(correct: bool, what: str) -> None:
    """Raise a :class:`UsageError` that says what was expected, unless it is so."""
    if not correct:
        raise UsageError(what)


def check_metric(metric: str) -> None:
    """Raise a :class:`UsageError` unless there is such a metric."""
    check(metric in get_args(Metric), f"the metric is {metric!r}; it can be {', '.join(get_args(Metric))}")


def check_offsets(offsets: NDArray[Any], entries: int, name: str) -> None:
    """Raise a :class:`UsageError` unless offsets rise from 0 to the number of entries."""
    fits = offsets.ndim == 1 and offsets.dtype == np.int64 and len(offsets) > 0
    fits = fits and offsets[0] == 0 and offsets[-1] == entries and not (offsets[1:] < offsets[:-1]).any()
    check(bool(fits), f"{name} are int64 that rise from 0 to {entries}, the number of entries")


def as_positions(rows: Sequence[int] | NDArray[Any], size: int) -> NDArray[np.int64]:
    """Return rows as an array.

    Raises:
        UsageError: a row is not from 0 to ``size - 1``.
    """
    chosen = np.asarray(rows, dtype=np.int64)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= size):
        raise UsageError(f"rows are from 0 to {size - 1}, not from {chosen.min()} to {chosen.max()}")
    return chosen


def take_ragged(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the offsets of some rows, and the positions of their entries."""
    lengths = np.diff(offsets)[rows]
    taken = cumulated(lengths)
    return taken, np.arange(taken[-1]) + np.repeat(offsets[:-1][rows] - taken[:-1], lengths)


def cumulated(lengths: ArrayLike) -> NDArray[np.int64]:
    """Return offsets for lengths."""
    counts = np.asarray(lengths, dtype=np.int64)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def blocks(offsets: NDArray[np.int64], limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows with at most ``limit`` entries, or one row."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        last = int(np.searchsorted(offsets, offsets[first] + limit, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last

"""Measures by their ir-measures names, after the tie rule."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ir_measures
import numpy as np
from numpy.typing import NDArray

from spaniel.data import Corpus, Qrels, Queries, Run
from spaniel.errors import UsageError

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "AP")


@dataclass(frozen=True)
class Evaluation:
    """Measures of a run.

    Attributes:
        measures: their names.
        query_ids: the queries that have judgments.
        per_query: ``(measures, queries)`` float64.
    """

    measures: tuple[str, ...]
    query_ids: tuple[str, ...]
    per_query: NDArray[np.float64]

    @cached_property
    def means(self) -> dict[str, float]:
        """Measure → mean over the queries; 0 where there are none."""
        size = max(1, len(self.query_ids))
        return {name: float(values.sum() / size) for name, values in zip(self.measures, self.per_query, strict=True)}


def parse_measures(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of measures.

    Raises:
        UsageError: a name is none; the message has near ones.
    """
    return tuple(dict.fromkeys(str(_parse(name)) for name in names))


def _parse(name: str) -> Any:
    try:
        return ir_measures.parse_measure(name)
    except (ValueError, NameError, KeyError, TypeError, AttributeError, SyntaxError, AssertionError) as error:
        known = [*ir_measures.measures.registry, *DEFAULT_MEASURES]
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"{name!r} is no measure; {hint}names are those of ir-measures, as in nDCG@10, RR, P@5") from error


def evaluate(run: Run, queries: Queries, corpus: Corpus, qrels: Qrels, measures: Sequence[str]) -> Evaluation:
    """Measure a run.

    The order measured is the run's own: ranks, not scores, are what the measuring library gets, so that no tie rule of its
    own can change anything. Negative grades count as 0. Every query with judgments counts, with 0 where the run has
    nothing for it.

    Args:
        run: the lists.
        queries: their queries.
        corpus: the documents.
        qrels: the judgments.
        measures: names, as :func:`parse_measures` takes them.
    """
    names = parse_measures(measures)
    parsed = [_parse(name) for name in names]
    judged = tuple(name for name in queries.ids if name in qrels)
    missing = tuple(name for name in qrels if name not in set(queries.ids))
    columns = {name: column for column, name in enumerate((*judged, *missing))}
    values = np.zeros((len(names), len(columns)))
    if columns:
        gains = {query: qrels.gains(query) for query in columns}
        lists = _as_lists(run.cut(_depth(parsed)), queries, corpus, columns)
        row = {measure: position for position, measure in enumerate(parsed)}
        for metric in ir_measures.iter_calc(parsed, gains, lists):
            values[row[metric.measure], columns[metric.query_id]] = metric.value
    return Evaluation(names, tuple(columns), values)


def _depth(measures: Sequence[Any]) -> int:
    """The rank after which no measure looks; unbounded where one has no cut-off."""
    cuts = [measure.params.get("cutoff") for measure in measures]
    return max((c for c in cuts if c is not None), default=0) if all(c is not None for c in cuts) else 2**31 - 1


def _as_lists(run: Run, queries: Queries, corpus: Corpus, wanted: dict[str, int]) -> dict[str, dict[str, float]]:
    distinct, positions = np.unique(run.rows, return_inverse=True)
    names = np.asarray(corpus.ids(distinct), dtype=object)[positions]
    return {query: dict(part) for query, part in _lists(run, queries, names) if query in wanted}


def _lists(run: Run, queries: Queries, names: NDArray[Any]) -> Iterator[tuple[str, Iterator[tuple[str, float]]]]:
    for position, query in enumerate(queries.ids):
        start, end = int(run.offsets[position]), int(run.offsets[position + 1])
        yield query, zip(names[start:end], map(float, range(end - start, 0, -1)), strict=True)

"""Measures by their ir-measures names, taken of the order that the tie rule gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ir_measures
import numpy as np
from numpy.typing import NDArray

from spaniel.data import Corpus, Qrels, Queries, Run
from spaniel.errors import UsageError

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "AP")
LARGEST_GRADE = 1_000_000
"""trec_eval, which most measures come from, keeps a table as long as the largest grade."""
_LIST = "all names are at https://ir-measur.es/en/latest/measures.html"
_pipeline: Any = ir_measures.DefaultPipeline
_BLOCK = 1_000_000
"""Documents measured together; what is needed beyond the arrays of the run does not grow with it."""


@dataclass(frozen=True)
class Evaluation:
    """Measures of a run.

    Attributes:
        measures: their names.
        query_ids: the queries that have judgments.
        per_query: ``(measures, queries)`` float64, never NaN.
    """

    measures: tuple[str, ...]
    query_ids: tuple[str, ...]
    per_query: NDArray[np.float64]

    @cached_property
    def means(self) -> dict[str, float]:
        """Measure → mean over the queries; 0 where there are none."""
        size = max(1, len(self.query_ids))
        return {name: float(values.sum() / size) for name, values in zip(self.measures, self.per_query, strict=True)}

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return a measure of every query: ``(queries,)``."""
        row: NDArray[np.float64] = self.per_query[self.measures.index(measure)]
        return row


def parse_measures(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of measures, each once.

    Raises:
        UsageError: a name is none, its parameters do not fit, or what computes it is not installed; the message has
            near names and says where the list is.
    """
    return tuple(dict.fromkeys(str(_parse(name)) for name in names))


def evaluate(
    run: Run, queries: Queries, corpus: Corpus, qrels: Qrels, measures: Sequence[str] = DEFAULT_MEASURES
) -> Evaluation:
    """Measure a run, under one policy whatever the measure.

    The order measured is the run's own: ranks, not scores, are what the measuring library gets, so that neither its tie
    rule nor rounding changes anything. Negative grades count as 0, and documents without a grade are not relevant. Every
    query with judgments counts, also one that the run has nothing for (the library would leave it out) or that has no
    relevant document: with 0. Whatever a measure leaves undefined for a query counts 0.

    Args:
        run: the lists, one for each query.
        queries: their queries.
        corpus: the documents; only those that are judged are looked up.
        qrels: the judgments.
        measures: names, as :func:`parse_measures` takes them. nDCG with ``dcg='exp-log2'`` (gains ``2**grade - 1``) is
            computed for every grade, with all digits.

    Raises:
        UsageError: a measure is unknown, the run does not belong to these queries and documents, or a grade is too large.
    """
    names = parse_measures(measures)
    if len(run) != len(queries):
        raise UsageError(f"the run has lists for {len(run)} queries, not for {len(queries)}")
    if len(run.rows) and int(run.rows.max()) >= len(corpus):
        raise UsageError(f"the run has row {run.rows.max()}, but the corpus only {len(corpus)} documents")
    places = {name: place for place, name in enumerate(queries.ids)}
    ids = (*(name for name in queries.ids if name in qrels), *(name for name in qrels if name not in places))
    positions = [places[name] for name in ids if name in places]
    gains = [qrels.gains(name) for name in ids]
    grades = {grade for judged in gains for grade in judged.values()}
    parsed = [_computable(_parse(name), grades) for name in names]
    _check_grades(parsed, grades)

    values = np.zeros((len(names), len(ids)))
    lists = run.select(positions).cut(_depth(parsed))
    judgments = _Judgments(gains, corpus)
    for first, last in _blocks(lists.offsets):
        ranked = judgments.rank(lists, first, last)
        for metric in _calculate(parsed, judgments.relevance(ranked), ranked):
            # Two names may stand for one computation.
            rows = [row for row, measure in enumerate(parsed) if measure == metric.measure]
            values[rows, int(metric.query_id)] = metric.value
    return Evaluation(names, ids, np.nan_to_num(values, nan=0.0))


class _Judgments:
    """The judgments by query and row, and the names under which the measuring library gets queries and documents.

    Queries go by their number, judged documents by ``j`` and their place among the judgments of the query, the others by
    ``u`` and their rank: the library needs to know which document is which only within a query, and only of judged ones.
    So no id has to be fetched for what is not judged, and no id can be misread on the way.
    """

    def __init__(self, gains: list[dict[str, int]], corpus: Corpus) -> None:
        sizes = [len(judged) for judged in gains]
        owners = np.repeat(np.arange(len(gains), dtype=np.int64), sizes)
        labels = [f"j{place}" for place in range(max(sizes, default=0))]
        self._gains = [dict(zip(labels, judged.values(), strict=False)) for judged in gains]
        self._documents = len(corpus)
        rows = corpus.rows([name for judged in gains for name in judged]).astype(np.int64)
        names = np.array([label for size in sizes for label in labels[:size]], dtype=object)
        known = np.flatnonzero(rows >= 0)
        keys = owners[known] * self._documents + rows[known]
        order = np.argsort(keys)
        self._keys, self._names = keys[order], names[known][order]

    def rank(self, lists: Run, first: int, last: int) -> dict[str, dict[str, float]]:
        """Return the lists that are not empty as the library takes them, with scores that strictly decrease."""
        offsets = lists.offsets[first : last + 1]
        part = slice(offsets[0], offsets[-1])
        keys = lists.owners[part] * self._documents + lists.rows[part]
        longest = int(lists.lengths[first:last].max(initial=0))
        names = np.array([f"u{rank}" for rank in range(longest)], dtype=object)[lists.ranks[part]]
        if len(self._keys):
            found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            judged = self._keys[found] == keys
            names[judged] = self._names[found[judged]]
        scores = [float(score) for score in range(longest, 0, -1)]
        bounds = (offsets - offsets[0]).tolist()
        return {
            str(query): dict(zip(names[start:end].tolist(), scores, strict=False))
            for query, start, end in zip(range(first, last), bounds, bounds[1:], strict=False)
            if start < end
        }

    def relevance(self, ranked: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the grades of some queries as the library takes them."""
        return {query: self._gains[int(query)] for query in ranked}


def _blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    first, size = 0, len(offsets) - 1
    while first < size:
        last = int(np.searchsorted(offsets, offsets[first] + _BLOCK, side="right")) - 1
        last = min(max(last, first + 1), size)
        yield first, last
        first = last


def _depth(measures: Sequence[Any]) -> int:
    """The rank after which no measure looks; unbounded where one has no cut-off, or skips unjudged documents."""
    cuts = [None if measure.params.get("judged_only") else measure.params.get("cutoff") for measure in measures]
    return max((cut for cut in cuts if cut is not None), default=0) if None not in cuts else 2**31 - 1


def _calculate(measures: Sequence[Any], gains: Mapping[str, Any], ranked: Mapping[str, Any]) -> list[Any]:
    if not ranked:
        return []
    # Together, ir-measures may compute a measure that leaves these open with the setting of another one.
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for measure in measures:
        settings = measure.params.get("rel", 1), measure.params.get("judged_only", False)
        groups.setdefault((*settings, repr(measure.params.get("gains"))), []).append(measure)
    try:
        return [metric for group in groups.values() for metric in ir_measures.iter_calc(group, gains, ranked)]
    except Exception as error:  # Several libraries and a script compute them, each with errors of its own.
        names = ", ".join(map(str, measures))
        raise UsageError(f"{names} cannot be computed here: {str(error) or type(error).__name__}") from error


def _computable(measure: Any, grades: Iterable[int]) -> Any:
    """Express exponential gains as a table: the script that ir-measures has for them knows 5 grades and 5 digits."""
    if measure.NAME != "nDCG" or measure["dcg"] != "exp-log2" or "gains" in measure.params:
        return measure
    options = {name: value for name, value in measure.params.items() if name != "dcg"}
    return ir_measures.nDCG(gains={grade: 2 ** min(grade, 64) - 1 for grade in grades}, **options)


def _check_grades(measures: Sequence[Any], grades: set[int]) -> None:
    for measure in measures:
        table = measure.params.get("gains") or {}
        largest = max((table.get(grade, grade) for grade in grades), default=0)
        allowed = (
            4 if measure.NAME == "ERR" else LARGEST_GRADE
        )  # gdeval, which computes ERR, is made for grades up to 4
        if largest > allowed:
            raise UsageError(f"{measure.NAME} is for gains up to {allowed}; the judgments give gains up to {largest}")


def _parse(name: str) -> Any:
    try:
        measure: Any = ir_measures.parse_measure(name)
    except (ValueError, NameError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UsageError(f"{name[:80]!r} is no measure; {_hint(name[:80])}{_LIST}") from error
    try:
        measure.validate_params()
        cut = measure.params.get("cutoff", 1)
        if not 1 <= cut < 2**31:
            raise UsageError(f"{name!r}: the cut-off must be from 1 to {2**31 - 1}, not {cut}")
        level = measure.params.get("recall", 0.5)
        if not 0 <= level <= 1 or round(level, 2) != level:
            raise UsageError(f"{name!r}: the recall must be from 0 to 1 with at most two decimals, not {level}")
    except (AssertionError, TypeError) as error:
        raise UsageError(f"{name!r} is not complete or not possible: {_parameters(measure)}; {_LIST}") from error
    computed = _computable(measure, (0, 1))
    if not _pipeline.supports(computed):
        raise UsageError(f"{name!r} cannot be computed here{_providers(computed)}; {_LIST}")
    # What a library refuses is refused before anything expensive has run.
    _calculate([computed], {"0": {"j0": 1, "j1": 0}}, {"0": {"j0": 2.0, "j1": 1.0}})
    return measure


def _parameters(measure: Any) -> str:
    """Say which parameters a measure takes."""
    said = []
    for key, info in measure.SUPPORTED_PARAMS.items():
        kind = "one of " + ", ".join(map(repr, info.choices)) if isinstance(info.choices, list) else info.dtype.__name__
        example = "0.5" if info.dtype is float else "10"
        at = f" (written {measure.__name__}@{example})" if key == measure.AT_PARAM else ""
        said.append(f"{key}: {kind}{', required' if info.required else ''}{at}")
    return f"{measure.__name__} takes {'; '.join(said) or 'no parameters'}"


def _providers(measure: Any) -> str:
    providers = [provider for provider in _pipeline.providers if provider.supports(measure)]
    ways = [provider.install_instructions() for provider in providers]
    return f": it needs another package, {' or '.join(filter(None, ways))}" if any(ways) else ""


def _hint(name: str) -> str:
    """Name what may have been meant: another spelling, the name that trec_eval has, or near names."""
    try:
        meant = [str(measure) for measure in ir_measures.parse_trec_measure(name.strip())][:3]
    except (ValueError, NameError, KeyError, IndexError):
        meant = []
    if not meant:
        word, rest = re.match(r"\s*(\w*)(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
        known = {key.lower(): measure for key, measure in ir_measures.measures.registry.items()}
        near = [word.lower()] if word.lower() in known else difflib.get_close_matches(word.lower(), known, 3, 0.6)
        rest = rest if re.fullmatch(r"@[1-9]\d*", rest) else ""
        meant = list(dict.fromkeys(known[key].__name__ + rest for key in near))
    return f"did you mean {' or '.join(meant)}? " if meant else ""

"""Measures by their ir-measures names, taken of the order that the tie rule gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import ir_measures
import numpy as np
from numpy.typing import NDArray

from spaniel.data import Qrels, Queries, Run
from spaniel.errors import UsageError
from spaniel.evaluation.plans import Plan, by_subtopic
from spaniel.evaluation.plans import plan as make_plan

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "AP")
_LIST = "all names are at https://ir-measur.es/en/latest/measures.html"
_pipeline: Any = ir_measures.DefaultPipeline
_OF_JUDGMENTS = ("NumQ", "NumRel")
"""Measures that ask for no list, and are the same whatever was found: they are counted here."""
_TRIAL = Qrels.from_subtopics({"0": {"1": {"j0": 1}, "2": {"j0": 1}}})
_BLOCK = 1_000_000
"""Documents measured together; what is needed beyond the arrays of the run does not grow with it."""


class Documents(Protocol):
    """What the ids of documents stand for: a corpus, or the ids of a run that was read without one."""

    def __len__(self) -> int:
        """Number of documents."""
        ...

    def rows(self, ids: Sequence[str], /) -> NDArray[Any]:
        """Return the rows of some ids, -1 where there is none."""
        ...


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
        """Measure → mean over the queries, 0 where there are none; of measures that count, their sum."""
        size = max(1, len(self.query_ids))
        return {
            name: float(values.sum() / (1 if counts(name) else size))
            for name, values in zip(self.measures, self.per_query, strict=True)
        }

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return a measure of every query: ``(queries,)``."""
        row: NDArray[np.float64] = self.per_query[self.measures.index(measure)]
        return row


@lru_cache
def counts(measure: str) -> bool:
    """Return whether a measure counts (``NumQ``, ``NumRel``, ``NumRet``), so that its sum says something, not its mean."""
    try:
        parsed: Any = ir_measures.parse_measure(measure)
    except (ValueError, NameError, SyntaxError):
        return False  # A measure of somebody's own.
    return isinstance(parsed.aggregator(), ir_measures.measures.SumAgg)


def write_value(measure: str, value: float) -> str:
    """Return a value of a measure as people read it: what is counted as a whole number, else four decimals."""
    return f"{value:.0f}" if counts(measure) else f"{value:.4f}"


def parse_measures(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of measures, each once.

    Raises:
        UsageError: a name is none, its parameters do not fit, or what computes it is not installed; the message has
            near names and says where the list is.
    """
    return tuple(dict.fromkeys(_write(_parse(name)) for name in names))


def _write(measure: Any) -> str:
    """Return the name of a measure, also with a level of 1: that wins over a collection's own, and ir-measures drops it."""
    given = measure.params.get("rel")
    if given is None or given != measure.SUPPORTED_PARAMS["rel"].default:
        return str(measure)
    return str(measure(rel=given + 1)).replace(f"rel={given + 1}", f"rel={given}", 1)


def evaluate(
    run: Run, queries: Queries, documents: Documents, qrels: Qrels, measures: Sequence[str] = DEFAULT_MEASURES
) -> Evaluation:
    """Measure a run, under one policy whatever the measure.

    The order measured is the run's own: ranks, not scores, are what the measuring library gets, so that neither its tie
    rule nor rounding changes anything. What counts as relevant is the judgments' own level, or that of the measure where it
    has one (``AP(rel=2)``). Negative grades count as 0 (but see :class:`spaniel.data.Qrels`), and documents without a grade
    are not relevant. Every query with judgments counts, also one that the run has nothing for (the library would leave it
    out) or that has no relevant document: with 0. Whatever a measure leaves undefined for a query counts 0.

    Args:
        run: the lists, one for each query.
        queries: their queries.
        documents: the corpus, or the ids of a run that was read without one; only judged documents are looked up.
        qrels: the judgments.
        measures: names, as :func:`parse_measures` takes them. nDCG with ``dcg='exp-log2'`` (gains ``2**grade - 1``) is
            computed for every grade, with all digits; of fractions, six digits count.

    Raises:
        UsageError: a measure is unknown, the run does not belong to these queries and documents, or the judgments do not
            have what a measure needs: subtopics, whole grades, or smaller ones.
    """
    names = parse_measures(measures)
    if len(run) != len(queries):
        raise UsageError(f"the run has lists for {len(run)} queries, not for {len(queries)}")
    if len(run.rows) and int(run.rows.max()) >= len(documents):
        raise UsageError(f"the run has row {run.rows.max()}, but the corpus only {len(documents)} documents")
    plans = check_judgments(names, qrels)
    places = {name: place for place, name in enumerate(queries.ids)}
    ids = (*(name for name in queries.ids if name in qrels), *(name for name in qrels if name not in places))
    positions = [places[name] for name in ids if name in places]

    values = np.zeros((len(names), len(ids)))
    lists = run.select(positions).cut(_depth([plan.measure for plan in plans]))
    judgments = _Judgments(qrels, ids, documents)
    for row, plan in enumerate(plans):
        if plan.measure.NAME in _OF_JUDGMENTS:
            values[row] = judgments.count(plan)
    for first, last in _blocks(lists.offsets):
        ranked = judgments.rank(lists, first, last)
        for group in _groups(plans):
            judged = (
                judgments.by_subtopic(ranked, group[0]) if group[0].subtopics else judgments.gains(ranked, group[0])
            )
            for metric in _calculate([plan.measure for plan in group], judged, ranked):
                # Two names may stand for one computation.
                rows = [at for at, plan in enumerate(plans) if plan in group and plan.measure == metric.measure]
                values[rows, int(metric.query_id)] = metric.value
    return Evaluation(names, ids, np.nan_to_num(values, nan=0.0))


def check_judgments(measures: Sequence[str], qrels: Qrels) -> list[Plan]:
    """Make sure that measures can be computed of some judgments, which is worth knowing before anything has run.

    Returns:
        How each of them is computed.

    Raises:
        UsageError: one needs subtopics, whole grades, or smaller ones.
    """
    return [make_plan(_parse(name), qrels) for name in measures]


def _groups(plans: Sequence[Plan]) -> list[list[Plan]]:
    groups: dict[tuple[Any, ...], list[Plan]] = {}
    for plan in plans:
        if plan.measure.NAME not in _OF_JUDGMENTS:
            groups.setdefault(plan.group, []).append(plan)
    return list(groups.values())


class _Judgments:
    """The judgments by query and row, and the names under which the measuring library gets queries and documents.

    Queries go by their number, judged documents by ``j`` and their place among the judgments of the query, the others by
    ``u`` and their rank: the library needs to know which document is which only within a query, and only of judged ones.
    So no id has to be fetched for what is not judged, and no id can be misread on the way.
    """

    def __init__(self, qrels: Qrels, ids: Sequence[str], documents: Documents) -> None:
        self._judged = [qrels[name] for name in ids]
        self._subtopics = [qrels.subtopics.get(name, {}) for name in ids]
        sizes = [len(judged) for judged in self._judged]
        owners = np.repeat(np.arange(len(ids), dtype=np.int64), sizes)
        self._labels = [f"j{place}" for place in range(max(sizes, default=0))]
        self._documents = len(documents)
        rows = documents.rows([name for judged in self._judged for name in judged]).astype(np.int64)
        names = np.array([label for size in sizes for label in self._labels[:size]], dtype=object)
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

    def gains(self, ranked: Iterable[str], plan: Plan) -> dict[str, dict[str, int]]:
        """Return the judgments of some queries as the library takes them."""
        return {
            query: {
                label: plan.gains[grade]
                for label, grade in zip(self._labels, self._judged[int(query)].values(), strict=False)
            }
            for query in ranked
        }

    def by_subtopic(self, ranked: Iterable[str], plan: Plan) -> list[ir_measures.Qrel]:
        """Return the judgments of some queries, by subtopic, as the library takes them."""
        # Without any query of several subtopics the library warns; so it gets one that no list belongs to.
        made = [ir_measures.Qrel("-1", "j0", 1, part) for part in ("1", "2")]
        for query in ranked:
            labels = dict(zip(self._judged[int(query)], self._labels, strict=False))
            for number, part in enumerate(self._subtopics[int(query)].values()):
                made += [
                    ir_measures.Qrel(query, labels[d], plan.gains[grade], str(number)) for d, grade in part.items()
                ]
        return made

    def count(self, plan: Plan) -> list[int]:
        """Return what a measure of the judgments alone counts, for every query."""
        if plan.measure.NAME == "NumQ":
            return [1] * len(self._judged)
        return [sum(plan.gains[grade] for grade in judged.values()) for judged in self._judged]


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


def _calculate(measures: Sequence[Any], judged: Any, ranked: Mapping[str, Any]) -> list[Any]:
    if not ranked:
        return []
    try:
        return [metric for metric in ir_measures.iter_calc(measures, judged, ranked) if metric.query_id in ranked]
    except Exception as error:  # Several libraries and a script compute them, each with errors of its own.
        names = ", ".join(map(str, measures))
        raise UsageError(f"{names} cannot be computed here: {str(error) or type(error).__name__}") from error


@lru_cache(256)
def _parse(name: str) -> Any:
    try:
        measure: Any = ir_measures.parse_measure(name)
    except (ValueError, NameError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UsageError(f"{name[:80]!r} is no measure; {_hint(name[:80])}{_LIST}") from error
    try:
        measure.validate_params()
        # Measures of diversity need their cut-off, though ir-measures does not say so.
        assert not by_subtopic(measure) or "cutoff" in measure.params or "cutoff" not in measure.SUPPORTED_PARAMS
        cut = measure.params.get("cutoff", 1)
        if not 1 <= cut < 2**31:
            raise UsageError(f"{name!r}: the cut-off must be from 1 to {2**31 - 1}, not {cut}")
        if measure.params.get("rel", 1) < 1:
            raise UsageError(f"{name!r}: the level of relevance must be 1 or more, not {measure.params['rel']}")
        level = measure.params.get("recall", 0.5)
        if not 0 <= level <= 1 or round(level, 2) != level:
            raise UsageError(f"{name!r}: the recall must be from 0 to 1 with at most two decimals, not {level}")
    except (AssertionError, TypeError) as error:
        raise UsageError(f"{name!r} is not complete or not possible: {_parameters(measure)}; {_LIST}") from error
    computed = make_plan(measure, _TRIAL).measure
    if computed.NAME in _OF_JUDGMENTS:
        return measure
    if not _pipeline.supports(computed):
        raise UsageError(f"{name!r} cannot be computed here{_providers(computed)}; {_LIST}")
    # What a library refuses is refused before anything expensive has run.
    _calculate([computed], [ir_measures.Qrel("0", "j0", 1, part) for part in "12"], {"0": {"j0": 2.0, "j1": 1.0}})
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

"""How a measure is computed: which measure of the library, of which numbers made of the grades.

The libraries take whole numbers of grades, know one level of relevance each in its own way, and drop what they do not
know. So a measure that asks only whether a document is relevant gets 1 and 0, and the level is applied here, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ir_measures

from spaniel.data import Qrels
from spaniel.errors import UsageError

LARGEST_GRADE = 1_000_000
"""trec_eval, which most measures come from, keeps a table as long as the largest grade."""
_POOLED = ("Bpref", "infAP")
"""Measures that tell documents that were pooled but not judged from those that are not relevant."""
_UNGRADED = ("Judged", "NumQ", "NumRet")
"""Measures that ask for no grade, unless a level is given."""
_BY_SUBTOPIC = frozenset(measure.NAME for measure in ir_measures.pyndeval.SUPPORTED_MEASURES)


@dataclass(frozen=True)
class Plan:
    """How a measure is computed.

    Attributes:
        measure: what the library computes.
        gains: grade → what the library gets for it.
        subtopics: whether it gets the judgments by subtopic.
    """

    measure: Any
    gains: Mapping[float, int]
    subtopics: bool

    @property
    def group(self) -> tuple[Any, ...]:
        """Measures of one group are computed together; with others, one may be computed with the setting of another."""
        # Of diversity, the library computes the first setting only: for the next ones it has no run left to read.
        shared = ("rel", "judged_only", "alpha", "beta") if self.subtopics else ("rel", "judged_only")
        settings = tuple(self.measure[name] for name in shared if name in self.measure.SUPPORTED_PARAMS)
        return (*settings, self.subtopics, tuple(sorted(self.gains.items())))


def by_subtopic(measure: Any) -> bool:
    """Return whether a measure is one of diversity, which needs judgments by subtopic."""
    return measure.NAME in _BY_SUBTOPIC


def plan(measure: Any, qrels: Qrels) -> Plan:
    """Return how a measure is computed of some judgments.

    Raises:
        UsageError: it needs subtopics, whole grades, or smaller ones.
    """
    if by_subtopic(measure) and not qrels.subtopics:
        raise UsageError(
            f"{measure} needs judgments by subtopic, and these have none; TREC's diversity judgments have the subtopic in "
            "their second column"
        )
    grades = _grades(qrels, by_subtopic(measure))
    rel = measure.SUPPORTED_PARAMS.get("rel")
    given = measure.params.get("rel")
    if given is not None or measure.NAME in _UNGRADED or (rel is not None and rel.default == 1):
        others = {name: value for name, value in measure.params.items() if name != "rel"}
        asked = type(measure)(**others)
        if given is not None and rel.default != 1:
            asked = asked(rel=1)
        level = qrels if given is None else qrels.with_level(given)
        least = -1 if measure.NAME in _POOLED else 0
        gains = {grade: 1 if level.is_relevant(grade) else least if grade < 0 else 0 for grade in grades}
        return Plan(asked, gains, by_subtopic(measure))
    if measure.NAME == "nDCG":
        return _ndcg(measure, grades)
    return Plan(measure, _whole(measure, grades), False)


def _grades(qrels: Qrels, subtopics: bool) -> set[float]:
    if subtopics:
        parts: Iterable[Mapping[str, float]] = (part for parts in qrels.subtopics.values() for part in parts.values())
    else:
        parts = qrels.values()
    return {grade for part in parts for grade in part.values()}


def _ndcg(measure: Any, grades: set[float]) -> Plan:
    """Plan nDCG: exponential gains and tables become gains, since the script that ir-measures has knows 5 grades and 5 digits.

    nDCG is the same for gains that are all multiplied by one number: so are fractions made whole.
    """
    table = measure.params.get("gains") or {}
    exponential = measure["dcg"] == "exp-log2" and not table
    wanted = {}
    for grade in grades:
        gain = table.get(grade, max(0, grade))
        wanted[grade] = 2.0 ** min(gain, 64) - 1 if exponential else gain
    options = {name: value for name, value in measure.params.items() if name not in ("dcg", "gains")}
    largest = max(wanted.values(), default=0)
    if largest > LARGEST_GRADE:
        raise UsageError(
            f"{measure.NAME} is for gains up to {LARGEST_GRADE}; the judgments give gains up to {largest:g}"
        )
    scales = (10**digits for digits in range(7) if largest * 10**digits <= LARGEST_GRADE)
    exact = (scale for scale in scales if all(gain * scale == int(gain * scale) for gain in wanted.values()))
    scale = next(exact, LARGEST_GRADE / (largest or 1))
    return Plan(ir_measures.nDCG(**options), {grade: round(gain * scale) for grade, gain in wanted.items()}, False)


def _whole(measure: Any, grades: set[float]) -> dict[float, int]:
    """Return grades as they are, where a measure takes them."""
    fraction = next((grade for grade in sorted(grades) if grade != int(grade)), None)
    if fraction is not None:
        raise UsageError(
            f"{measure} takes whole grades, and the judgments have {fraction}; nDCG and measures of relevance alone take "
            "fractions"
        )
    # gdeval, which computes ERR, is made for grades up to 4.
    allowed = 4 if measure.NAME == "ERR" else LARGEST_GRADE
    largest = max(grades, default=0)
    if largest > allowed:
        raise UsageError(f"{measure.NAME} is for gains up to {allowed}; the judgments give gains up to {largest:g}")
    return {grade: max(0, int(grade)) for grade in grades}

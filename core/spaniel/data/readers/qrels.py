"""Judgments: BEIR's three columns, TREC's and MS MARCO's four, CSV, JSON and Parquet."""

from __future__ import annotations

from pathlib import Path

from spaniel.data.faults import Faults, OnError, as_faults, check_id
from spaniel.data.qrels import Qrels
from spaniel.data.readers.pairs import Pair, as_number, read_pairs


def read_qrels(path: Path, on_error: OnError | Faults = "fail") -> Qrels:
    """Read judgments: three columns (BEIR), four (TREC, MS MARCO), or by the names of their columns; see :func:`read_pairs`.

    Of four columns the second is kept as the subtopic, as TREC's diversity judgments have it, where it differs within a
    query; the grade of a document is then its highest one. A pair that comes twice with one grade is kept once.

    Raises:
        UsageError: a line has other columns, a grade is no number, or a pair has two grades for one subtopic.
    """
    faults = as_faults(on_error)
    grades: dict[str, dict[str, dict[str, float]]] = {}
    for place, pair in read_pairs(Path(path)):
        problem = pair if isinstance(pair, str) else _add(grades, pair)
        if problem:
            faults.report(place, problem)
    return Qrels.from_subtopics(grades)


def _add(grades: dict[str, dict[str, dict[str, float]]], pair: Pair) -> str | None:
    problem = check_id(pair.query) or check_id(pair.document)
    if problem:
        return problem
    grade = as_number(pair.number)
    if grade is None:
        return f"the grade {pair.number!r} is no number from -1e9 to 1e9"
    judged = grades.setdefault(pair.query, {}).setdefault(str(pair.subtopic), {})
    known = judged.setdefault(pair.document, grade)
    if known == grade:
        return None
    return f"{pair.document!r} has the grades {known} and {grade} for query {pair.query!r}"

"""Judgments: BEIR's three columns, TREC's and MS MARCO's four."""

from __future__ import annotations

import re
from pathlib import Path

from spaniel.data.faults import Faults, OnError, as_faults, check_id
from spaniel.data.files import read_lines
from spaniel.data.qrels import Qrels
from spaniel.data.readers.lines import UNDECODABLE

_GRADE = re.compile(r"[+-]?[0-9]{1,9}")
_HEADERS = ("query-id", "query_id", "qid", "query")


def read_qrels(path: Path, on_error: OnError | Faults = "fail") -> Qrels:
    """Read judgments: three columns with a header (BEIR), or four (TREC, MS MARCO).

    Columns are parted by tabs where that gives three or four, else by any white space. A pair that comes twice with one
    grade is kept once.

    Raises:
        UsageError: a line has other columns, a grade is no whole number, or a pair has two grades.
    """
    faults = as_faults(on_error)
    grades: dict[str, dict[str, int]] = {}
    for number, (place, line) in enumerate(read_lines(path)):
        if line is None:
            faults.report(place, UNDECODABLE)
        elif line.strip() and not (number == 0 and _is_header(line)):
            problem = _add(grades, _columns(line))
            if problem:
                faults.report(place, problem)
    return Qrels(grades)


def _columns(line: str) -> list[str]:
    # An id with a blank must not be taken for two columns: three of BEIR's would look like TREC's four.
    parted = [column.strip() for column in line.split("\t")]
    return parted if len(parted) in (3, 4) else line.split()


def _is_header(line: str) -> bool:
    columns = _columns(line)
    return columns[0].lower() in _HEADERS and not _GRADE.fullmatch(columns[-1])


def _add(grades: dict[str, dict[str, int]], columns: list[str]) -> str | None:
    if len(columns) not in (3, 4):
        return f"expected query, document and grade (or TREC's four columns), not {len(columns)} columns"
    query, document, grade = columns[0], columns[-2], columns[-1]
    problem = check_id(query) or check_id(document)
    if problem:
        return problem
    if not _GRADE.fullmatch(grade):
        return f"the grade {grade!r} is no whole number"
    judged = grades.setdefault(query, {})
    known = judged.setdefault(document, int(grade))
    return None if known == int(grade) else f"{document!r} has the grades {known} and {grade} for query {query!r}"

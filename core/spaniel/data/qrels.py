"""Judgments, under one written policy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from spaniel.errors import UsageError
from spaniel.store import canonical_json, digest_bytes

Grades = Mapping[str, float]
"""Document id → grade, of one query or of one of its subtopics."""


class Qrels(Mapping[str, Grades]):
    """Query id → document id → grade.

    The policy: a grade above 0 is relevant, or one from ``level`` on where a level is given. Grades below that were judged
    and are not relevant; a negative grade counts as 0 in every measure but Bpref and infAP, for which it is trec_eval's
    mark of a document that was pooled and not judged. A document without a grade is unjudged and counts as not relevant.
    Means are over the queries that have judgments; one of them without a relevant document, or without a list in the run,
    counts 0. In files, a grade that is empty or no number is malformed; a pair (of one subtopic) that comes twice is kept
    once where the grades agree and is malformed where they differ.

    Args:
        grades: query → document → grade. Whole grades are kept as ``int``, also where they come as ``1.0``.
        subtopics: query → subtopic → document → grade, for diversity measures; :meth:`from_subtopics` makes the grades, too.
        level: the grade from which on a document is relevant; ``None`` takes every grade above 0.

    Raises:
        UsageError: a grade is not finite, or the level is not above 0.
    """

    def __init__(
        self,
        grades: Mapping[str, Grades],
        subtopics: Mapping[str, Mapping[str, Grades]] | None = None,
        level: float | None = None,
    ) -> None:
        if level is not None and not 0 < level < math.inf:
            raise UsageError(f"a document counts as relevant from a grade above 0 on, not from {level}")
        self._grades = {query: _whole(judged) for query, judged in grades.items() if judged}
        self.subtopics: Mapping[str, Mapping[str, Grades]] = {
            query: {name: _whole(judged) for name, judged in parts.items() if judged}
            for query, parts in (subtopics or {}).items()
            if parts and query in self._grades
        }
        self.level = level

    def __repr__(self) -> str:
        judged = sum(map(len, self._grades.values()))
        level = "" if self.level is None else f", relevant from {self.level:g} on"
        return f"Qrels({len(self._grades)} queries, {judged} judgments{level})"

    @classmethod
    def from_subtopics(cls, judged: Mapping[str, Mapping[str, Grades]], level: float | None = None) -> Qrels:
        """Make judgments of those by subtopic: the grade of a document is its highest one over the subtopics of a query.

        Args:
            judged: query → subtopic → document → grade; what has one name of a subtopic for each query has no subtopics.
            level: as in :class:`Qrels`.
        """
        grades: dict[str, Grades] = {}
        for query, parts in judged.items():
            if len(parts) == 1:
                (grades[query],) = parts.values()
                continue
            highest: dict[str, float] = {}
            for part in parts.values():
                for document, grade in part.items():
                    highest[document] = max(grade, highest.get(document, grade))
            grades[query] = highest
        several = any(len(parts) > 1 for parts in judged.values())
        return cls(grades, judged if several else None, level)

    def __getitem__(self, query: str) -> Grades:
        return self._grades[query]

    def __iter__(self) -> Iterator[str]:
        return iter(self._grades)

    def __len__(self) -> int:
        return len(self._grades)

    def gains(self, query: str) -> dict[str, float]:
        """Return the grades of a query with negative ones as 0."""
        return {document: max(0, grade) for document, grade in self._grades[query].items()}

    def is_relevant(self, grade: float) -> bool:
        """Return whether a grade is one of a relevant document."""
        return grade > 0 if self.level is None else grade >= self.level

    def relevant(self, query: str) -> list[str]:
        """Return the relevant documents of a query, in the order of its judgments; none where it is not judged."""
        return [document for document, grade in self._grades.get(query, {}).items() if self.is_relevant(grade)]

    def select(self, queries: Iterable[str]) -> Qrels:
        """Return the judgments of some queries, under the same level; those that are not judged are left out."""
        kept = [query for query in queries if query in self._grades]
        subtopics = {query: self.subtopics[query] for query in kept if query in self.subtopics}
        return Qrels({query: self._grades[query] for query in kept}, subtopics, self.level)

    def with_level(self, level: float | None) -> Qrels:
        """Return the judgments with another level."""
        return Qrels(self._grades, self.subtopics, level)

    def without_own(self) -> Qrels:
        """Return the judgments without those of a query's own document, whose id is the query's."""
        grades = {query: _without(judged, query) for query, judged in self._grades.items()}
        subtopics = {
            query: {name: _without(judged, query) for name, judged in parts.items()}
            for query, parts in self.subtopics.items()
        }
        return Qrels(grades, subtopics, self.level)

    @cached_property
    def digest(self) -> str:
        """Digest of all grades, and of subtopics and level where there are any."""
        if not self.subtopics and self.level is None:
            return digest_bytes(canonical_json(self._grades))
        return digest_bytes(canonical_json([self._grades, self.subtopics, self.level]))


def _whole(judged: Grades) -> dict[str, float]:
    made: dict[str, float] = {}
    for document, grade in judged.items():
        if not math.isfinite(grade):
            raise UsageError(f"the grade of {document!r} is {grade}; a grade is a finite number")
        made[document] = int(grade) if grade == int(grade) else float(grade)
    return made


def _without(judged: Grades, document: str) -> dict[str, float]:
    return {name: grade for name, grade in judged.items() if name != document}

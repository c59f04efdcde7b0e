"""Judgments, under one written policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from spaniel.store import canonical_json, digest_bytes


class Qrels(Mapping[str, Mapping[str, int]]):
    """Query id → document id → grade.

    The policy: a grade above 0 is relevant. Grades of 0 and below were judged and are not relevant; a negative grade
    counts as 0 in every measure. A document without a grade is unjudged and counts as not relevant. Means are over the
    queries that have judgments; one of them without a relevant document, or without a list in the run, counts 0. In
    files, a grade that is empty or no whole number is malformed; a pair that comes twice is kept once where the grades
    agree and is malformed where they differ.
    """

    def __init__(self, grades: Mapping[str, Mapping[str, int]]) -> None:
        self._grades = {query: dict(judged) for query, judged in grades.items() if judged}

    def __getitem__(self, query: str) -> Mapping[str, int]:
        return self._grades[query]

    def __iter__(self) -> Iterator[str]:
        return iter(self._grades)

    def __len__(self) -> int:
        return len(self._grades)

    def gains(self, query: str) -> dict[str, int]:
        """Return the grades of a query with negative ones as 0."""
        return {document: max(0, grade) for document, grade in self._grades[query].items()}

    @cached_property
    def digest(self) -> str:
        """Digest of all grades."""
        return digest_bytes(canonical_json(self._grades))

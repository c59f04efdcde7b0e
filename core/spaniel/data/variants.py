"""Several texts for one query, whose runs are fused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spaniel.data.faults import check_text
from spaniel.errors import UsageError

MOST = 1000
"""Texts of one query at the most: each is a search."""


@dataclass(frozen=True)
class Variants:
    """What the next stage is asked instead of the queries; stages behind it see the queries as they were.

    A query with one text is asked that text, and its list stays as it is. For one with several the stage runs on each, and
    a document's score is the sum over the texts of weight / (k + rank), as :func:`spaniel.data.fuse_rrf` has it.

    Attributes:
        texts: for each query its texts, one or more.
        weights: as many numbers of 0 or more; all 1 where not given.
        k: constant of the fusion, 0 or more.

    Raises:
        UsageError: a query has no text or too many, a text is malformed, or the weights do not fit.
    """

    texts: tuple[tuple[str, ...], ...]
    weights: tuple[tuple[float, ...], ...] | None = None
    k: float = 60.0

    def __post_init__(self) -> None:
        for query, texts in enumerate(self.texts):
            if not 1 <= len(texts) <= MOST:
                raise UsageError(f"query {query} has {len(texts)} variants; a query has from 1 to {MOST}")
            for text in texts:
                problem = check_text(text)
                if problem:
                    raise UsageError(f"a variant of query {query}: {problem}")
        if not (math.isfinite(self.k) and self.k >= 0):
            raise UsageError(f"the constant of the fusion is 0 or more, not {self.k}")
        if self.weights is None:
            return
        if [len(one) for one in self.weights] != [len(texts) for texts in self.texts]:
            raise UsageError("variants need one weight each")
        if not all(math.isfinite(weight) and weight >= 0 for one in self.weights for weight in one):
            raise UsageError("weights of variants are finite numbers of 0 or more")

    @classmethod
    def from_lists(
        cls, texts: Sequence[Sequence[str]], weights: Sequence[Sequence[float]] | None = None, k: float = 60.0
    ) -> Variants:
        """Make variants of lists; of equal texts of a query the first stays, with the sum of their weights."""
        kept: list[tuple[str, ...]] = []
        sums: list[tuple[float, ...]] = []
        for query, variants in enumerate(texts):
            own = [1.0] * len(variants) if weights is None else weights[query]
            found: dict[str, float] = {}
            for text, weight in zip(variants, own, strict=True):
                found[text] = found.get(text, 0.0) + (0.0 if weights is None and text in found else weight)
            kept.append(tuple(found))
            sums.append(tuple(found.values()))
        return cls(tuple(kept), tuple(sums), k)

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.texts)

    def weighted(self, query: int) -> list[tuple[str, float]]:
        """Return the texts of a query with their weights."""
        weights = (1.0,) * len(self.texts[query]) if self.weights is None else self.weights[query]
        return list(zip(self.texts[query], weights, strict=True))

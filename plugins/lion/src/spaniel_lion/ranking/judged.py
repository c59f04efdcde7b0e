"""How well scores rank the judged documents of queries, worked out for many programs over the same entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spaniel_lion.programs.rule import Rule
from spaniel_lion.ranking.counts import Counts

Measure = Literal["nDCG", "AP"]


class Judged:
    """Queries with their entries and judgments, ready to be scored by one program after another.

    Lists are as :meth:`spaniel_lion.ranking.counts.CountsIndex.search` makes them: score descending, then row ascending.

    Args:
        counts: the entries of the queries.
        grades: for each query row → grade; all above 0 count, by their size in nDCG.
        relevant: for each query the rows that are relevant, for AP.
        own: for each query the row that is left out of its list, -1 for none.
    """

    def __init__(
        self,
        counts: Counts,
        grades: Sequence[Mapping[int, float]],
        relevant: Sequence[frozenset[int]],
        own: NDArray[np.int64],
    ) -> None:
        counts = counts.take(counts.rows != own[counts.owners])
        self._counts, self._places = counts.distinct()
        size = max(1, counts.n)
        pairs, self._pairs = np.unique(counts.owners * size + counts.rows, return_inverse=True)
        owners, rows = np.divmod(pairs, size)
        self._bounds = np.searchsorted(owners, np.arange(len(grades) + 1))
        self._judged = [
            _Judgments(rows[begin:end], judged, known)
            for begin, end, judged, known in zip(self._bounds[:-1], self._bounds[1:], grades, relevant, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._judged)

    def measure(self, rule: Rule, measure: Measure, depth: int) -> float:
        """Return the mean of a measure over the queries; 0 of a program that gives a document no finite score.

        Args:
            rule: the program.
            measure: nDCG with the grades as gains, or average precision.
            depth: documents of each list that count.
        """
        entries = self._counts.score(rule)[self._places]
        with np.errstate(all="ignore"):
            scores = np.bincount(self._pairs, entries, minlength=int(self._bounds[-1])).astype(np.float32)
        if not np.isfinite(scores).all():
            return 0.0
        total = 0.0
        for begin, end, judged in zip(self._bounds[:-1], self._bounds[1:], self._judged, strict=True):
            ranks = judged.ranks(scores[begin:end])
            total += judged.ndcg(ranks, depth) if measure == "nDCG" else judged.precision(ranks, depth)
        return total / len(self)


class _Judgments:
    """The judged documents of one query among those that hold a word of it.

    Args:
        rows: rows of the list, ascending.
        grades: row → grade.
        relevant: rows that are relevant.
    """

    def __init__(self, rows: NDArray[np.int64], grades: Mapping[int, float], relevant: frozenset[int]) -> None:
        gains = {row: grade for row, grade in grades.items() if grade > 0}
        found = np.array(sorted(gains.keys() | relevant), np.int64)
        places = np.searchsorted(rows, found)
        there = places < len(rows)
        there[there] = rows[places[there]] == found[there]
        self._places = places[there]
        self._gains = np.array([gains.get(row, 0.0) for row in found[there].tolist()])
        self._relevant = np.array([row in relevant for row in found[there].tolist()], np.bool_)
        self._all_relevant = len(relevant)
        self._ideal = np.sort(np.array(list(gains.values()), np.float64))[::-1]

    def ranks(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the ranks of the judged documents, from 1."""
        own = scores[self._places]
        ordered = np.sort(scores)
        ranks = len(scores) - np.searchsorted(ordered, own, side="right") + 1
        twins = np.searchsorted(ordered, own, side="right") - np.searchsorted(ordered, own, side="left") > 1
        for at in np.flatnonzero(twins).tolist():
            ranks[at] += int((scores[: self._places[at]] == own[at]).sum())
        return ranks

    def ndcg(self, ranks: NDArray[np.int64], depth: int) -> float:
        """Return nDCG at a depth (Järvelin and Kekäläinen, TOIS 2002): gains are grades, discounts log2(rank + 1)."""
        ideal = self._ideal[:depth]
        if not len(ideal):
            return 0.0
        kept = ranks <= depth
        gained = (self._gains[kept] / np.log2(ranks[kept] + 1)).sum()
        return float(gained / (ideal / np.log2(np.arange(len(ideal)) + 2)).sum())

    def precision(self, ranks: NDArray[np.int64], depth: int) -> float:
        """Return average precision at a depth."""
        hits = np.sort(ranks[self._relevant & (ranks <= depth)])
        return float(((np.arange(len(hits)) + 1) / hits).sum() / self._all_relevant) if self._all_relevant else 0.0

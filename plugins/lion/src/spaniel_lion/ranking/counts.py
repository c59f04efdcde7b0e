"""An index of how often words occur, searched by a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Run, UsageError
from spaniel.data.topk import topk
from spaniel_impacts.postings import Postings

from spaniel_lion.programs.rule import Rule

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer

CELLS = 1 << 22
"""Queries times documents that are scored at once, at most; one query may have more."""


class Counts(NamedTuple):
    """What a program is given, an entry for each word of a query in each document that holds it.

    Attributes:
        owners: ``(entries,)`` int64 positions of the queries, ascending.
        rows: ``(entries,)`` int64 rows of the documents.
        tf: ``(entries,)`` float64, how often the word occurs in the document.
        dl: ``(entries,)`` float64, tokens of the document.
        df: ``(entries,)`` float64, documents that hold the word.
        qtf: ``(entries,)`` float64, how often it occurs in the query.
        al: mean tokens of a document.
        n: number of documents.
    """

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    tf: NDArray[np.float64]
    dl: NDArray[np.float64]
    df: NDArray[np.float64]
    qtf: NDArray[np.float64]
    al: float
    n: int

    def score(self, rule: Rule) -> NDArray[np.float64]:
        """Return what a program makes of each entry, ``(entries,)``."""
        given = {name: [torch.from_numpy(getattr(self, name))] for name in ("tf", "dl", "df", "qtf")}
        (made,) = rule({**given, "al": self.al, "n": float(self.n)})["score"]
        scores: NDArray[np.float64] = made.numpy()
        return scores

    def take(self, at: NDArray[Any]) -> Counts:
        """Return some of the entries."""
        owners, rows = self.owners[at], self.rows[at]
        return Counts(owners, rows, self.tf[at], self.dl[at], self.df[at], self.qtf[at], self.al, self.n)

    def distinct(self) -> tuple[Counts, NDArray[np.int64]]:
        """Return one of each sort of entries that a program can tell apart, and which of them each entry is like."""
        places = np.zeros(len(self.rows), np.int64)
        for column in (self.tf, self.dl, self.df, self.qtf):
            values, numbers = np.unique(column, return_inverse=True)
            _, places = np.unique(places * max(1, len(values)) + numbers, return_inverse=True)
        first = np.unique(places, return_index=True)[1]
        return self.take(first), places


@dataclass(frozen=True, eq=False)
class CountsIndex:
    """How often each token occurs in each document, what turns texts into tokens, and the program that scores them.

    Attributes:
        postings: the documents of each token, with how often it occurs there, memory-mapped.
        lengths: ``(documents,)`` int64, tokens of each document.
        vocabulary: the token of each term number.
        analyzer: turns texts into tokens.
        rule: the program.
    """

    postings: Postings
    lengths: NDArray[np.int64]
    vocabulary: list[str]
    analyzer: Analyzer
    rule: Rule

    def __len__(self) -> int:
        return len(self.postings)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.vocabulary)}

    @cached_property
    def _mean(self) -> float:
        return float(self.lengths.mean()) if self.lengths.any() else 1.0

    def counts(self, queries: Sequence[str]) -> Counts:
        """Return what a program is given for queries; tokens that no document holds are left out."""
        tokens = self.analyzer.analyze(queries)
        table = np.array([self._numbers.get(token, -1) for token in tokens.vocabulary], np.int64)
        owners = np.repeat(np.arange(len(queries)), np.diff(tokens.offsets))
        terms = table[tokens.ids] if len(tokens.ids) else np.empty(0, np.int64)
        size = max(1, len(self.vocabulary))
        keys, often = np.unique((owners * size + terms)[terms >= 0], return_counts=True)
        owners, terms = np.divmod(keys, size)
        begins = self.postings.indptr[terms]
        df = self.postings.indptr[terms + 1] - begins
        each = np.repeat(np.arange(len(terms)), df)
        at = begins[each] + np.arange(len(each)) - (np.cumsum(df) - df)[each]
        rows = self.postings.indices[at].astype(np.int64)
        return Counts(
            owners[each],
            rows,
            self.postings.data[at].astype(np.float64),
            self.lengths[rows].astype(np.float64),
            df[each].astype(np.float64),
            often[each].astype(np.float64),
            self._mean,
            len(self),
        )

    def search(self, queries: Sequence[str], k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best documents of each query that hold at least one of its tokens.

        Raises:
            UsageError: the program gives a document no finite score.
        """
        mask = np.ones(len(self), np.bool_)
        if allowed is not None:
            mask[:] = False
            mask[: len(allowed)] = allowed[: len(self)]
        runs = []
        for scores, held in self._blocks(queries):
            scores[~(held & mask)] = -np.inf
            runs.append(Run.from_matrix(*topk(scores, k)))
        return Run.concatenate(runs)

    def scores(self, queries: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        """Return the scores of documents, ``(queries, rows)``; 0 where one holds no token of the query.

        Raises:
            UsageError: the program gives a document no finite score.
        """
        parts = [scores[:, np.asarray(rows, np.int64)].astype(np.float64) for scores, _ in self._blocks(queries)]
        return np.concatenate([np.zeros((0, len(rows))), *parts])

    def _blocks(self, queries: Sequence[str]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield for some queries at a time scores, ``(queries, documents)``, and which documents hold a token."""
        size = max(1, len(self))
        step = max(1, CELLS // size)
        for start in range(0, len(queries), step):
            part = list(queries[start : start + step])
            counts = self.counts(part)
            scores = counts.score(self.rule)
            cells = counts.owners * size + counts.rows
            shape, cell_count = (len(part), len(self)), len(part) * len(self)
            with np.errstate(over="ignore"):
                summed = np.bincount(cells, scores, minlength=cell_count).astype(np.float32).reshape(shape)
            if not np.isfinite(summed).all():
                query, row = np.argwhere(~np.isfinite(summed))[0].tolist()
                raise UsageError(
                    f"the program gives row {row} no finite score for {part[query][:80]!r}, but {summed[query, row]}"
                )
            held = np.bincount(cells, minlength=cell_count).astype(bool).reshape(shape)
            yield summed, held

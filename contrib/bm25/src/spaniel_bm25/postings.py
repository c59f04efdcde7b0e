"""An opened BM25 index."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray
from spaniel import Run

from spaniel_bm25.kernel import search

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer

BATCH = 2048
"""Queries searched at once, at most."""

RETURNED = 2**22
"""Entries returned for a batch of queries, at most, of eight bytes each; one query may have more."""


@dataclass(frozen=True, eq=False)
class Index:
    """Postings by term, memory-mapped; see :mod:`spaniel_bm25.kernel` for the arrays."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]
    absent: NDArray[np.float32]
    vocabulary: list[str]
    documents: int
    analyzer: Analyzer

    def __len__(self) -> int:
        return self.documents

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Token → term number."""
        return {token: number for number, token in enumerate(self.vocabulary)}

    def terms(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the known terms of texts: offsets ``(texts + 1,)`` and term numbers; unknown tokens are left out."""
        tokens = self.analyzer.analyze(texts)
        table = np.fromiter((self.numbers.get(t, -1) for t in tokens.vocabulary), np.int32, len(tokens.vocabulary))
        ids = table[tokens.ids] if len(tokens.ids) else tokens.ids
        known = ids >= 0
        return np.concatenate([[0], np.cumsum(known)])[tokens.offsets].astype(np.int64), ids[known]

    @cached_property
    def _scratch(self) -> list[NDArray[np.float32]]:
        """Arrays that no search is using, one number a document."""
        return []

    def search(self, queries: Sequence[str] | Any, k: int) -> Run:
        """Return the ``k`` best documents of each query that hold at least one of its terms."""
        offsets, terms = self.terms(queries)
        constants = np.concatenate([[0], np.cumsum(self.absent[terms], dtype=np.float64)])
        constants = (constants[offsets[1:]] - constants[offsets[:-1]]).astype(np.float32)
        width = max(1, min(k, self.documents))
        batch = max(1, min(BATCH, RETURNED // width))
        runs = []
        for start in range(0, len(queries), batch):
            end = min(start + batch, len(queries))
            rows, scores = self._search(offsets[start : end + 1], terms, constants[start:end], width)
            runs.append(Run.from_matrix(rows, scores))
        return Run.concatenate(runs)

    def _search(
        self, offsets: NDArray[np.int64], terms: NDArray[np.int32], constants: NDArray[np.float32], width: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        rows = np.full((len(constants), width), -1, np.int32)
        scores = np.empty((len(constants), width), np.float32)
        threads = min(numba.config.NUMBA_NUM_THREADS, len(constants))

        def share(first: int) -> None:
            try:
                scratch = self._scratch.pop()
            except IndexError:
                scratch = np.full(self.documents, -0.0, np.float32)
            search(
                self.indptr, self.indices, self.data, offsets, terms, constants, first, threads, scratch, rows, scores
            )
            self._scratch.append(scratch)

        # Threads of Python's own: those of numba's parallel loops do not survive a fork, nor, on some systems, each other.
        if threads == 1:
            share(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(share, range(threads)))
        return rows, scores

    def contributions(self, query: str, row: int) -> list[tuple[str, int, float]]:
        """Return, for each distinct known term of a query: the token, how often it is asked for, and what it adds."""
        _, terms = self.terms([query])
        found = []
        for term, count in zip(*np.unique(terms, return_counts=True), strict=True):
            postings = self.indices[self.indptr[term] : self.indptr[term + 1]]
            at = int(np.searchsorted(postings, row))
            holds = at < len(postings) and postings[at] == row
            score = float(self.absent[term]) + (float(self.data[self.indptr[term] + at]) if holds else 0.0)
            found.append((self.vocabulary[term], int(count), int(count) * score))
        return found

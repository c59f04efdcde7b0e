"""An opened BM25 index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Run
from spaniel_impacts.postings import Postings, choose

from spaniel_bm25.lexical import Weighted

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer


@dataclass(frozen=True, eq=False)
class Index:
    """Scores by term, and what turns texts into terms.

    Attributes:
        postings: the scores, memory-mapped.
        absent: ``(terms,)`` float32, what each term adds to documents that lack it.
        vocabulary: the token of each term number.
        analyzer: turns texts into tokens.
        occurrences: ``(terms,)`` int64, how often each term occurs in all documents.
    """

    postings: Postings
    absent: NDArray[np.float32]
    vocabulary: list[str]
    analyzer: Analyzer
    occurrences: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.postings)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Token → term number."""
        return {token: number for number, token in enumerate(self.vocabulary)}

    @cached_property
    def _frequencies(self) -> NDArray[np.int64]:
        return np.diff(self.postings.indptr)

    @cached_property
    def _counts_absent(self) -> bool:
        """Whether terms add to documents that lack them, as in BM25L and BM25+."""
        return bool(self.absent.any())

    def terms(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the known terms of texts: offsets ``(texts + 1,)`` and term numbers; unknown tokens are left out."""
        tokens = self.analyzer.analyze(texts)
        table = self._numbers(tokens.vocabulary)
        ids = table[tokens.ids] if len(tokens.ids) else tokens.ids
        known = ids >= 0
        return np.concatenate([[0], np.cumsum(known)])[tokens.offsets].astype(np.int64), ids[known]

    def search(self, queries: Sequence[str] | Any, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best documents of each query that hold at least one of its terms."""
        offsets, terms = self.terms(queries)
        return self.search_terms(offsets, terms, k, allowed=allowed)

    def search_terms(
        self,
        offsets: NDArray[np.int64],
        terms: NDArray[np.int32],
        k: int,
        weights: NDArray[np.float32] | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Run:
        """Return the ``k`` best documents of queries whose terms, and their weights, are at hand.

        Args:
            offsets: ``(queries + 1,)``; the terms of query ``q`` are ``offsets[q]:offsets[q + 1]``.
            terms: term numbers; one that comes twice counts twice.
            k: how many documents.
            weights: of the terms, 0 or more; all 1 where not given.
            allowed: ``(n,)`` which documents may be found; those past its end may not.
        """
        # Rare terms add most, and come first; so the order of words in a query does not decide how sums are rounded.
        owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((terms, self._frequencies[terms], owners))
        terms, weights = terms[order], None if weights is None else weights[order]
        if not self._counts_absent:
            method = "sweep" if allowed is not None else choose(self.postings, terms, len(offsets) - 1, k)
            return self.postings.search(offsets, terms, k, weights=weights, allowed=allowed, method=method)
        absent = self.absent[terms] if weights is None else self.absent[terms] * weights
        constants = np.concatenate([[0], np.cumsum(absent, dtype=np.float64)])
        constants = (constants[offsets[1:]] - constants[offsets[:-1]]).astype(np.float32)
        return self.postings.search(offsets, terms, k, weights=weights, constants=constants, allowed=allowed)

    def search_weighted(self, queries: Weighted, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best documents of queries of tokens, each token's score multiplied by its weight."""
        terms = self._numbers(queries.tokens)
        known = terms >= 0
        offsets = np.concatenate([[0], np.cumsum(known)])[queries.offsets].astype(np.int64)
        weights = queries.weights[known].astype(np.float32)
        return self.search_terms(offsets, terms[known], k, weights, allowed)

    def document_frequencies(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """Return how many documents hold each token."""
        return self._of(self._frequencies, tokens)

    def collection_frequencies(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """Return how often each token occurs in all documents together."""
        return self._of(self.occurrences, tokens)

    def _numbers(self, tokens: Sequence[str]) -> NDArray[np.int32]:
        return np.fromiter((self.numbers.get(token, -1) for token in tokens), np.int32, len(tokens))

    def _of(self, values: NDArray[np.int64], tokens: Sequence[str]) -> NDArray[np.int64]:
        terms = self._numbers(tokens)
        found = np.zeros(len(tokens), np.int64)
        found[terms >= 0] = values[terms[terms >= 0]]
        return found

    def term_scores(self, tokens: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        """Return what each token adds to the score of each document: ``(tokens, rows)``; 0 for one that is unknown."""
        scores = np.zeros((len(tokens), len(rows)))
        for at, term in enumerate(self._numbers(tokens).tolist()):
            if term >= 0:
                scores[at] = float(self.absent[term])
                scores[at] += [self.postings.impact(term, int(row)) for row in rows]
        return scores

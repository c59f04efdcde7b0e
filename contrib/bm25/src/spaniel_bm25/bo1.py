"""Bo1: terms of the first documents by their divergence from randomness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spaniel import Run, UsageError

from spaniel_bm25.bags import Bags, add_up, greatest
from spaniel_bm25.feedback import Entries, TermFeedback
from spaniel_bm25.lexical import CountingIndex, LexicalIndex


class Bo1(TermFeedback):
    """Bose-Einstein statistics (Amati, PhD thesis, Glasgow 2003, chapter 6): a term that occurs ``f`` times in the first
    documents, and ``F`` times in all ``N``, weighs

        w = f · log2((1 + P) / P) + log2(1 + P),   P = F / N

    and an expanded query gives a term qtf / max qtf + w / w_max, where w_max is the weight that the best term would have
    if it occurred nowhere else (F = f), so that no parameter says how much the terms count. As in Terrier, a term occurs
    in at least two of the documents, or in the query; the query's own terms count among the ``fb_terms``.
    """

    def evidence(self, bags: Bags, texts: NDArray[np.int64], run: Run, index: LexicalIndex) -> Entries:
        """Return how often terms occur."""
        owners, entries = bags.take(texts)
        return owners, bags.terms[entries], bags.counts[entries]

    def expand(
        self, bags: Bags, texts: NDArray[np.int64], run: Run, asked: Entries, index: LexicalIndex
    ) -> tuple[Entries, Entries]:
        """Return both parts of the sums."""
        if not isinstance(index, CountingIndex):
            raise UsageError(
                f"bo1 needs to know how often a term occurs, which `{self.config.index}` does not tell; use index=bm25, or rm3"
            )
        owners, found, occurrences = self.evidence(bags, texts, run, index)
        size = len(bags.vocabulary)
        groups, terms, counts = add_up(run.owners[owners], found, occurrences, size)
        _, _, documents = add_up(run.owners[owners], found, np.ones(len(found)), size)
        own = np.isin(groups * size + terms, asked[0] * size + asked[1])
        kept = own | (documents >= self.config.min_docs)
        groups, terms, counts = groups[kept], terms[kept], counts[kept]
        frequencies = index.collection_frequencies(bags.vocabulary)[terms].astype(np.float64)
        # A term of the documents that the index does not know occurs in them at the least.
        weights = _weight(counts, np.maximum(frequencies, counts) / max(1, len(index)))
        best = greatest(groups, terms, weights, self.config.fb_terms)
        groups, terms, weights, counts = groups[best], terms[best], weights[best], counts[best]
        # Entries come by group, and the best of each first.
        first = np.searchsorted(groups, groups)
        weights = weights / _weight(counts[first], counts[first] / max(1, len(index)))
        most = np.zeros(len(run), np.float64)
        np.maximum.at(most, asked[0], asked[2])
        return (asked[0], asked[1], asked[2] / most[asked[0]]), (groups, terms, weights)


def _weight(counts: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts * np.log2((1 + mean) / mean) + np.log2(1 + mean)

"""RM3: a relevance model of the first documents, mixed with the query."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from spaniel import Run, UsageError

from spaniel_bm25.bags import Bags, add_up, greatest
from spaniel_bm25.feedback import Entries, TermFeedback
from spaniel_bm25.lexical import LexicalIndex

_PLAIN = re.compile(r"[a-z0-9]{2,20}|(?![\0-\x7f]+\Z)[^_\s]{1,20}")
"""Anserini's rule for ASCII; it would leave nothing of other scripts, whose words are terms up to the same length."""


class Rm3(TermFeedback):
    """The estimate of Lavrenko and Croft (SIGIR 2001), equation 9, interpolated as by Abdul-Jaleel et al. (TREC 2004):

        P(w | R) ∝ Σ_d P(w | d) · s(d),   P'(w | q) = λ P(w | q) + (1 - λ) P(w | R)

    with the score of a document in the earlier run for the likelihood of the query. As in Anserini, a document's model
    is of its ``fb_terms`` most frequent terms, and P(w | R) of the ``fb_terms`` greatest that come out; each sums to 1.
    """

    def evidence(self, bags: Bags, texts: NDArray[np.int64], run: Run, index: LexicalIndex) -> Entries:
        """Return P(w | d) · s(d)."""
        scores = run.scores.astype(np.float64)
        if self.config.document_weights == "uniform":
            scores = np.ones_like(scores)
        elif len(scores) and not (scores.min() >= 0 and np.isfinite(scores.max())):
            raise UsageError(
                "rm3 weighs documents by their scores, and the earlier run has some below 0: "
                "choose document_weights=uniform"
            )
        owners, entries = bags.take(texts)
        kept = self._usable(bags, index)[bags.terms[entries]]
        owners, terms, counts = owners[kept], bags.terms[entries][kept], bags.counts[entries][kept]
        best = greatest(owners, terms, counts, self.config.fb_terms)
        owners, terms, counts = owners[best], terms[best], counts[best]
        return owners, terms, _to_one(owners, counts, len(texts)) * scores[owners]

    def expand(
        self, bags: Bags, texts: NDArray[np.int64], run: Run, asked: Entries, index: LexicalIndex
    ) -> tuple[Entries, Entries]:
        """Return both parts of the mixture."""
        owners, terms, model = self.evidence(bags, texts, run, index)
        groups, terms, weights = add_up(run.owners[owners], terms, model, len(bags.vocabulary))
        best = greatest(groups, terms, weights, self.config.fb_terms)
        groups, terms, weights = groups[best], terms[best], weights[best]
        weights = _to_one(groups, weights, len(run))
        share = np.full(len(run), self.config.original_weight, np.float64)
        # Where nothing was fed back the query is all there is.
        share[np.bincount(groups, weights, minlength=len(run)) == 0] = 1.0
        own = _to_one(asked[0], asked[2], len(run)) * share[asked[0]]
        return (asked[0], asked[1], own), (groups, terms, weights * (1 - share[groups]))

    def _usable(self, bags: Bags, index: LexicalIndex) -> NDArray[np.bool_]:
        """Return which tokens may expand a query."""
        common: NDArray[np.bool_] = index.document_frequencies(bags.vocabulary) > self.config.max_share * len(index)
        if not self.config.plain_terms:
            return ~common
        plain = np.fromiter((_PLAIN.fullmatch(token) is not None for token in bags.vocabulary), bool, len(common))
        return plain & ~common


def _to_one(groups: NDArray[np.int64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return weights divided by the sum of their group."""
    sums = np.bincount(groups, weights, minlength=size)
    return weights / np.where(sums > 0, sums, 1.0)[groups]

"""Documents as bags of tokens, and the greatest weights of groups: what feedback by terms is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer


@dataclass(frozen=True, eq=False)
class Bags:
    """Tokens of texts, counted; tokens are numbered in alphabetical order.

    Attributes:
        offsets: ``(texts + 1,)`` int64; the entries of text ``i`` are ``offsets[i]:offsets[i + 1]``.
        terms: ``(entries,)`` int64 positions in ``vocabulary``, ascending within a text.
        counts: ``(entries,)`` float64, how often a token occurs in a text.
        vocabulary: the distinct tokens, ascending.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int64]
    counts: NDArray[np.float64]
    vocabulary: list[str]

    def take(self, texts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the entries of some texts: which of the given texts each is of, and its position."""
        lengths = np.diff(self.offsets)[texts]
        owners = np.repeat(np.arange(len(texts)), lengths)
        begins = np.cumsum(lengths) - lengths
        return owners, np.arange(len(owners)) + np.repeat(self.offsets[:-1][texts] - begins, lengths)


def bags_of(analyzer: Analyzer, texts: Sequence[str]) -> Bags:
    """Return texts as bags of tokens."""
    tokens = analyzer.analyze(texts)
    order = sorted(range(len(tokens.vocabulary)), key=tokens.vocabulary.__getitem__)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    owners = np.repeat(np.arange(len(texts)), np.diff(tokens.offsets))
    keys, counts = np.unique(owners * max(1, len(order)) + place[tokens.ids], return_counts=True)
    texts_of, terms = np.divmod(keys, max(1, len(order)))
    offsets = np.searchsorted(texts_of, np.arange(len(texts) + 1)).astype(np.int64)
    return Bags(offsets, terms, counts.astype(np.float64), [tokens.vocabulary[i] for i in order])


def greatest(
    groups: NDArray[np.int64], terms: NDArray[np.int64], weights: NDArray[np.float64], most: int
) -> NDArray[np.int64]:
    """Return the positions of the greatest weights of each group, the lower term first among equals; by group, then rank."""
    order = np.lexsort((terms, -weights, groups))
    sorted_groups = groups[order]
    begins = np.searchsorted(sorted_groups, sorted_groups)
    return order[np.arange(len(order)) - begins < most]


def add_up(
    groups: NDArray[np.int64], terms: NDArray[np.int64], weights: NDArray[np.float64], vocabulary: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the distinct pairs of group and term, ascending, with the sum of the weights of each."""
    keys, places = np.unique(groups * max(1, vocabulary) + terms, return_inverse=True)
    sums = np.bincount(places, weights, minlength=len(keys)).astype(np.float64)
    owners, kept = np.divmod(keys, max(1, vocabulary))
    return owners, kept, sums

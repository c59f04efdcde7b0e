"""A score beside the threshold of the first k, and whether the document could be among them at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spaniel import Contribution, Corpus, Explanation, Queries, UsageError
from spaniel.encoding import corpus_vectors, encode_queries

from spaniel_limit.config import TopKSetConfig
from spaniel_limit.reachable import reach
from spaniel_limit.term_weights import term_weights

if TYPE_CHECKING:
    from spaniel import Context

_NAMED = 3
"""Other documents of a set that a note names."""


class TopKSet:
    """A score is the threshold of the first ``k``, midway between the scores at the places k and k + 1, and a margin.

    Rankings by such thresholds are what the paper's row-wise thresholdable rank is about. A document is returned where
    its margin is above 0. ``parameters`` says which set it would be returned in, with the best others, whether some query
    vector returns that set, and with what margin at the least: where none does, no encoder of queries can help.
    """

    def __init__(self, config: TopKSetConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the stage is a search by one vector a text, or by weights of terms that an encoder gives."""
        encoded = hasattr(getattr(target, "config", None), "encoder")
        return encoded and (getattr(target, "form", "") == "dense" or _is_sparse(target))

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query.

        Raises:
            UsageError: the target is no search by one vector a text, and none by an encoder's weights of terms.
        """
        if not self.accepts(target):
            raise UsageError(f"{type(target).__name__} is no search by one vector a text, or by its weights of terms")
        if not len(rows):
            return []
        encoder, k = target.config.encoder, self.config.k
        sparse = _is_sparse(target)
        form = "sparse" if sparse else "dense"
        documents: Any = corpus_vectors(self.context, encoder, corpus.need, form)
        asked: Any = encode_queries(self.context, encoder, Queries.from_lists(["q"], [query]))[form]
        scores = asked.dot(documents)[0].astype(np.float64)
        points = term_weights(self.context, target, corpus) if sparse else documents.values
        order = np.argsort(-scores, kind="stable")
        last, following = order[min(k, len(order)) - 1], order[min(k, len(order) - 1)]
        threshold = float(scores[last] + scores[following]) / 2
        between = f"midway between {scores[last]:.4f} at place {k} and {scores[following]:.4f} behind it"
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        made = []
        for row, name in zip(rows, corpus.ids(rows), strict=True):
            others = [other for other in order[:k].tolist() if other != row][: k - 1]
            chosen = np.array(sorted([row, *others]), np.int64)
            found = reach(points, chosen, nonnegative=sparse)
            others_named = ", ".join(name for name in corpus.ids(others[:_NAMED])) + (
                " …" if len(others) > _NAMED else ""
            )
            can = "some query vector puts" if found.reachable else "no query vector at all puts"
            together = f" it and {others_named} first" if others else " it first"
            rank = f"rank {int(ranks[row]) + 1} of {len(order)}; {can}{together}"
            parts = (
                Contribution(f"threshold of the first {k}", threshold, "baseline", note=between),
                Contribution("margin", float(scores[row]) - threshold, "margin", note=rank),
            )
            parameters = {
                "k": k,
                "set": corpus.ids(chosen.tolist()),
                "in reach of some query": found.reachable,
                "with a margin of at least": found.margin if np.isfinite(found.margin) else 0.0,
            }
            made.append(Explanation(form, "top-k-set", query, name, float(scores[row]), parts, parameters=parameters))
        return made


def _is_sparse(target: Any) -> bool:
    """Return whether a stage that has an encoder searches by its weights of terms: it names the documents' vectors."""
    return not hasattr(target, "form") and hasattr(target, "vectors")

"""Which token matched which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from spaniel import Contribution, Corpus, Explanation, UsageError

from spaniel_explain.naming import Token, name_vectors
from spaniel_explain.scoring import Encoded, encoder_of

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.data import MultiVectors


class MaxSimMatches:
    """The score is the sum, over tokens of the query, of the best inner product with a token of the document.

    (Khattab and Zaharia, 2020, equation 3.) So it is explained exactly. Of several best tokens the first counts.
    """

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the stage compares texts by several vectors each."""
        found = encoder_of(self.context, target)
        return found is not None and found[1] == "multi-vector"

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query.

        Tokens have names and places where :func:`spaniel_explain.naming.name_vectors` finds them.

        Raises:
            UsageError: the target does not compare by several vectors.
        """
        found = encoder_of(self.context, target)
        if found is None or found[1] != "multi-vector":
            raise UsageError(f"{type(target).__name__} has no encoder that gives several vectors a text")
        if not len(rows):
            return []
        scorer = Encoded(self.context, *found)
        documents = corpus.documents(rows)
        asked = cast("MultiVectors", scorer.queries([query]))
        held = cast("MultiVectors", scorer.documents(documents))
        totals = asked.maxsim(held)[0]
        mine = name_vectors(scorer.encoder, query, "query", len(asked.values))
        made = []
        for at, document in enumerate(documents):
            vectors = held.values[held.offsets[at] : held.offsets[at + 1]].astype(np.float32)
            theirs = name_vectors(scorer.encoder, document.contents, "document", len(vectors))
            parts: tuple[Contribution, ...] = ()
            if len(vectors):
                products = asked.values.astype(np.float32) @ vectors.T
                best = products.argmax(axis=1)
                scores = products[np.arange(len(best)), best].tolist()
                parts = tuple(
                    _match(one, theirs[other], score)
                    for one, other, score in zip(mine, best.tolist(), scores, strict=True)
                )
            total = float(totals[at])
            rest = total - sum(part.score for part in parts)
            # The order of summing in float32 is no remainder.
            score = total if abs(rest) > 1e-5 * max(1.0, abs(total)) else total - rest
            made.append(
                Explanation("maxsim", "maxsim-matches", query, document.id, score, parts, score - (total - rest))
            )
        return made


def _match(mine: Token, theirs: Token, score: float) -> Contribution:
    child = Contribution(theirs[0], score, "match", side="document", span=_span(theirs))
    return Contribution(mine[0], score, "token", (child,), note=f"matches {theirs[0]}", side="query", span=_span(mine))


def _span(token: Token) -> tuple[int, int] | None:
    return (token[1], token[2]) if token[2] > token[1] else None

"""What explainers by altered texts share: cutting, scoring sets of parts, pointing back into the text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Document, Explanation, Run, UsageError

from spaniel_explain.config import UnitConfig
from spaniel_explain.scoring import Scores, TextScorer, scorer_of
from spaniel_explain.texts import Unit, cut, keep, label

if TYPE_CHECKING:
    from spaniel import Context

Worth = Callable[[NDArray[np.bool_]], Scores]
"""Masks of parts that are kept, ``(masks, parts)`` → scores, ``(masks, documents)``."""


class Altering(ABC):
    """Explains by the scores of texts of which some parts are left out."""

    name = ""

    def __init__(self, config: UnitConfig, context: Context) -> None:
        self.config: Any = config
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the score of altered texts is known."""
        scorer = scorer_of(self.context, target)
        return scorer is not None and self.config.side in scorer.sides

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query, of a stage that begins a pipeline or needs no earlier run.

        Raises:
            UsageError: the target does not score altered texts on this side.
        """
        return self.explain_behind(target, query, rows, corpus, None)

    def explain_behind(
        self, target: Any, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain them behind an earlier run, which stays as it is whatever is left out of the texts.

        Raises:
            UsageError: the target does not score altered texts on this side.
        """
        scorer = scorer_of(self.context, target, run)
        if scorer is None or self.config.side not in scorer.sides:
            raise UsageError(
                f"`{self.name}` asks for the score of altered texts, and {type(target).__name__} has none on the "
                f"{self.config.side}'s side"
            )
        if not len(rows):
            return []
        documents = corpus.documents(rows)
        if self.config.side == "query":
            units = cut(query, self.config.unit, self.config.size)
            worth = _remembered(lambda masks: scorer.vary_query(keep(query, units, masks), rows, corpus))
            return self._explained(worth, query, query, units, documents)
        made: list[Explanation] = []
        for document in documents:
            made += self._of_document(scorer, query, document, corpus)
        return made

    def _parameters(self) -> dict[str, Any]:
        return {name: value for name, value in self.config.model_dump().items() if name != "size"}

    @abstractmethod
    def values(self, worth: Worth, parts: int, name: str) -> tuple[Scores, Scores, list[str]]:
        """Return what parts contribute, ``(parts, documents)``, a score that is no part's, and a note a part.

        Args:
            worth: the scores of sets of parts.
            parts: how many there are.
            name: of the random stream.
        """

    def _of_document(self, scorer: TextScorer, query: str, document: Document, corpus: Corpus) -> list[Explanation]:
        text = document.contents
        units = cut(text, self.config.unit, self.config.size)

        def score(masks: NDArray[np.bool_]) -> Scores:
            return scorer.vary_document(query, document, keep(text, units, masks), corpus)[:, None]

        return self._explained(_remembered(score), query, text, units, [document])

    def _explained(
        self, worth: Worth, query: str, text: str, units: list[Unit], documents: Sequence[Document]
    ) -> list[Explanation]:
        side = self.config.side
        full = worth(np.ones((1, len(units)), bool))[0]
        values, base, notes = self.values(
            worth, len(units), f"{query}\n{documents[0].id if side == 'document' else ''}"
        )
        made = []
        for column, document in enumerate(documents):
            parts = [
                Contribution(label(text, u), float(v), u.kind, note=note, side=side, span=(u.start, u.end))
                for u, v, note in zip(units, values[:, column], notes, strict=True)
            ]
            if base[column]:
                parts.append(Contribution("(without any of it)", float(base[column]), "baseline"))
            score = float(full[column])
            rest = score - sum(part.score for part in parts)
            remainder = 0.0 if abs(rest) < 1e-9 * max(1.0, abs(score)) else rest
            made.append(
                Explanation(
                    self.name, self.name, query, document.id, score, tuple(parts), remainder, self._parameters()
                )
            )
        return made


def _remembered(score: Callable[[NDArray[np.bool_]], Scores]) -> Worth:
    """Score every set of parts once."""
    known: dict[bytes, Scores] = {}

    def worth(masks: NDArray[np.bool_]) -> Scores:
        keys = [mask.tobytes() for mask in masks]
        lacking = {key: at for at, key in enumerate(keys) if key not in known}
        if lacking:
            made = score(masks[list(lacking.values())])
            known.update(zip(lacking, made, strict=True))
        return np.stack([known[key] for key in keys])

    return worth

"""What each dimension of two vectors adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from spaniel import Contribution, Corpus, Explanation, UsageError

from spaniel_explain.config import DimensionsConfig
from spaniel_explain.scoring import Encoded, encoder_of

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.data import DenseVectors


class VectorDimensions:
    """An inner product is the sum of the products of dimensions, exactly."""

    exact = True

    def __init__(self, config: DimensionsConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the stage compares texts by one dense vector each."""
        found = encoder_of(self.context, target)
        return found is not None and found[1] == "dense"

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query.

        Raises:
            UsageError: the target does not compare by dense vectors.
        """
        found = encoder_of(self.context, target)
        if found is None or found[1] != "dense":
            raise UsageError(f"{type(target).__name__} has no encoder that gives one dense vector a text")
        if not len(rows):
            return []
        scorer = Encoded(self.context, *found)
        asked = cast("DenseVectors", scorer.queries([query])).values[0].astype(np.float64)
        held = cast("DenseVectors", scorer.documents(corpus.documents(rows))).values.astype(np.float64)
        parameters = self.config.model_dump()
        made = []
        for name, vector in zip(corpus.ids(rows), held, strict=True):
            products = asked * vector
            order = np.argsort(-np.abs(products), kind="stable")
            shown, others = order[: self.config.top], order[self.config.top :]
            parts = [
                Contribution(
                    f"dimension {at}", float(products[at]), "feature", note=f"{asked[at]:.4f} × {vector[at]:.4f}"
                )
                for at in shown.tolist()
            ]
            if len(others):
                parts.append(Contribution(f"({len(others)} others)", float(products[others].sum()), "rest"))
            total = float(sum(part.score for part in parts))
            made.append(Explanation("dense", "vector-dimensions", query, name, total, tuple(parts), 0.0, parameters))
        return made

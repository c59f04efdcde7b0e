"""Explanations of rerankers whose score counts beside that of the stage before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spaniel.explanation.contribution import Contribution
from spaniel.explanation.explanation import Explanation

if TYPE_CHECKING:
    from spaniel.data import Corpus, Run


def weighed(
    explanations: list[Explanation],
    target: Any,
    query: str,
    rows: Sequence[int],
    corpus: Corpus,
    run: Run | None,
    before: str,
) -> list[Explanation]:
    """Carry explanations of a reranker's own scores over to the scores of its run.

    With a weight w below 1 (see :func:`spaniel.rerank.interpolate`) a score is w · (s - mean) / deviation + (1 - w) · the
    standardised score of the stage before: the parts of s are scaled, and the rest are two parts more.

    Args:
        explanations: of the own scores, one a row.
        target: the reranker.
        run: the list that it works on, with the scores of the stage before.
        before: name of that stage.
    """
    weight = float(target.weight()) if run is not None and callable(getattr(target, "weight", None)) else 1.0
    if weight == 1 or run is None:
        return explanations
    k = getattr(target.config, "k", None)
    listed = run if k is None else run.cut(k)
    scores = np.asarray(target.score([query] * len(listed.rows), corpus.contents(listed.rows)), np.float64)
    mean = float(scores.mean()) if len(scores) else 0.0
    flat = not len(scores) or scores.max() == scores.min()
    factor = 0.0 if flat else weight / float(scores.std())
    standardised = listed.normalise("z-score")
    made = []
    for explanation, row in zip(explanations, rows, strict=True):
        found = np.flatnonzero(standardised.rows == row)
        if not len(found):
            made.append(explanation)  # the run does not hold it: its own score is the only one
            continue
        first = (1 - weight) * float(standardised.scores[found[0]])
        parts = (
            *(_scaled(part, factor) for part in explanation.contributions),
            Contribution("(mean of the list)", -mean * factor, "baseline", note=f"{mean:.4f}, standardised"),
            Contribution(before, first, "stage", note=f"{1 - weight:g} × its standardised score"),
        )
        score = explanation.score * factor - mean * factor + first
        made.append(replace(explanation, score=score, contributions=parts, remainder=explanation.remainder * factor))
    return made


def _scaled(part: Contribution, factor: float) -> Contribution:
    children = tuple(_scaled(child, factor) for child in part.children)
    return replace(part, score=part.score * factor, children=children)

"""Teacher scores of an ensemble, written to training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from spaniel import Context
from spaniel_train.material import Material
from spaniel_train.protocols import Made
from spaniel_train.rows import score_keys

from spaniel_inference_free_sparse.config import EnsembleLabelsConfig
from spaniel_inference_free_sparse.teacher import Ensemble


class EnsembleLabels:
    """The rows of a file, with one score a text: the average of the teachers, each min-max scaled over the row's texts.

    Scores that a row has already are replaced, since scores of two scales cannot be learned together.
    """

    def __init__(self, config: EnsembleLabelsConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def ensemble(self) -> Ensemble:
        """The teachers."""
        return Ensemble(self.context, self.config)

    def units(self, material: Material) -> int:
        """Return the number of rows."""
        return len(material.need_rows("ensemble"))

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Label some rows."""
        counts: Counter[str] = Counter(rows=stop - start)
        kept = []
        lists = []
        for row in material.need_rows("ensemble")[start:stop]:
            texts = list(dict.fromkeys((*row.positives, *row.negatives)))
            if len(texts) < self.config.least:
                counts["left out: too few texts"] += 1
                continue
            kept.append(row)
            lists.append(texts)
        column = {text: number for number, text in enumerate(dict.fromkeys(t for texts in lists for t in texts))}
        wanted = np.zeros((len(kept), len(column)), bool)
        for number, texts in enumerate(lists):
            wanted[number, [column[text] for text in texts]] = True
        asked = [row.instruction + row.query for row in kept]
        scores = self.ensemble.matrix(asked, list(column), wanted) if kept else np.zeros((0, 0), np.float32)
        made = []
        for number, (row, texts) in enumerate(zip(kept, lists, strict=True)):
            own = scores[number, [column[text] for text in texts]].tolist()
            made.append(replace(row, scores=dict(zip(score_keys(row.query, texts), own, strict=True))))
            right, wrong = _split(row, texts, own)
            counts["pairs of right and wrong"] += len(right) * len(wrong)
            counts["of these in the teacher's order"] += int((right[:, None] > wrong).sum())
        counts["scored pairs"] = int(wanted.sum())
        return Made(made, counts)

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return how often the teachers agree with the rows."""
        pairs = counts.get("pairs of right and wrong", 0)
        return {"teacher agrees": counts.get("of these in the teacher's order", 0) / pairs} if pairs else {}


def _split(row: Any, texts: list[str], scores: list[float]) -> tuple[Any, Any]:
    is_right = np.array([text in row.positives for text in texts], bool)
    values = np.array(scores, np.float32)
    return values[is_right], values[~is_right]

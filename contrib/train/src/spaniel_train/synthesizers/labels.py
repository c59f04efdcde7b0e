"""Teacher scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from spaniel import Context

from spaniel_train.config import LabelsConfig
from spaniel_train.material import Material
from spaniel_train.protocols import Made
from spaniel_train.rows import score_keys
from spaniel_train.synthesizers.scoring import PairScorer


class Labels:
    """The rows of a file, with a teacher's score for each of their texts, keyed by the digest of query and text."""

    def __init__(self, config: LabelsConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def scorer(self) -> PairScorer:
        """The teacher."""
        return PairScorer(self.context, self.config.scorer)

    def units(self, material: Material) -> int:
        """Return the number of rows."""
        return len(material.need_rows("labels"))

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Label some rows."""
        rows = material.need_rows("labels")[start:stop]
        counts: Counter[str] = Counter(rows=len(rows))
        asked: list[str] = []
        told: list[str] = []
        keys: list[list[str]] = []
        for row in rows:
            texts = list(dict.fromkeys((*row.positives, *row.negatives)))
            made = dict(zip(score_keys(row.query, texts), texts, strict=True))
            wanted = [key for key in made if self.config.again or key not in row.scores]
            keys.append(wanted)
            told += [made[key] for key in wanted]
            asked += [row.instruction + row.query] * len(wanted)
        scores = self.scorer.score(asked, told).tolist()
        labelled = []
        at = 0
        for row, wanted in zip(rows, keys, strict=True):
            new = dict(zip(wanted, scores[at : at + len(wanted)], strict=True))
            at += len(wanted)
            labelled.append(replace(row, scores={**row.scores, **new}))
            self._count(labelled[-1], counts)
        counts["scored pairs"] = len(told)
        return Made(labelled, counts)

    def _count(self, row: Any, counts: Counter[str]) -> None:
        right = [row.scores[key] for key in score_keys(row.query, row.positives)]
        wrong = [row.scores[key] for key in score_keys(row.query, row.negatives)]
        if wrong:
            counts["pairs of right and wrong"] += len(right) * len(wrong)
            counts["of these in the teacher's order"] += int((np.array(right)[:, None] > np.array(wrong)).sum())

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return how often the teacher agrees with the rows."""
        pairs = counts.get("pairs of right and wrong", 0)
        return {"teacher agrees": counts.get("of these in the teacher's order", 0) / pairs} if pairs else {}

"""Mining negatives, by rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Context

from spaniel_train.config import NegativesConfig
from spaniel_train.material import Material, judged_row
from spaniel_train.protocols import Made
from spaniel_train.rows import Row
from spaniel_train.synthesizers.scoring import PairScorer


class Negatives:
    """Rows of a collection's judgments, with negatives from the lists of a retriever.

    What is judged relevant is never a negative; how often it would have been one but for the judgments tells how often
    the rules let unjudged right answers through. The rules of scores are those of NV-Retriever (Moreira et al., 2024,
    section 3): below a percentage of the positive's score, below it by a margin, below a number. Of several positives the
    lowest score counts. A percentage is taken of its size: 95 % of −2 lies 5 % of 2 below it, at −2.1, since 95 % of a
    negative number is above it. A score that is no number passes no rule.
    """

    def __init__(self, config: NegativesConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def scorer(self) -> PairScorer:
        """What scores for the rules."""
        return PairScorer(self.context, self.config.scorer)

    def units(self, material: Material) -> int:
        """Return the number of queries."""
        return len(material.need_judgments("negatives")[1])

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Make the rows of some queries."""
        corpus, queries, qrels = material.need_judgments("negatives")
        chosen = queries.select(range(start, stop))
        run = self.context.run(self.config.retriever, chosen, corpus)
        counts: defaultdict[str, float] = defaultdict(int, queries=stop - start)
        rows = []
        for place in range(stop - start):
            row = judged_row(material, start + place)
            if row is None:
                counts["without a right document"] += 1
                continue
            listed = run.rows[run.offsets[place] : run.offsets[place + 1]]
            if material.own_left_out:
                listed = listed[listed != corpus.rows([chosen.ids[place]])[0]]
            ranked = listed[self.config.first_rank - 1 : self.config.last_rank]
            counts["candidates"] += len(listed)
            counts["rejected by rank"] += len(listed) - len(ranked)
            relevant = corpus.rows(qrels.relevant(chosen.ids[place]))
            made = self._negatives(row, ranked, np.isin(ranked, relevant), corpus, counts)
            if not made and not self.config.keep_empty:
                counts["rows without a negative"] += 1
                continue
            rows.append(replace(row, negatives=tuple(made)))
            counts["rows"] += 1
            counts["negatives"] += len(made)
        return Made(rows, counts)

    def _negatives(
        self,
        row: Row,
        ranked: NDArray[np.int32],
        relevant: NDArray[np.bool_],
        corpus: Any,
        counts: defaultdict[str, float],
    ) -> list[str]:
        texts = corpus.contents(ranked)
        scores = np.zeros(len(texts), np.float32)
        passed = np.ones(len(texts), bool)
        lowest = 0.0
        if self.config.scorer is not None and texts:
            asked = [*row.positives, *texts]
            made = self.scorer.score([row.instruction + row.query] * len(asked), asked)
            lowest, scores = float(made[: len(row.positives)].min()), made[len(row.positives) :]
            for name, ceiling in self._ceilings(lowest):
                broken = passed & ~(scores < ceiling)
                counts[f"rejected by {name}"] += int((broken & ~relevant).sum())
                passed &= ~broken
        counts["right by the judgments"] += int(relevant.sum())
        counts["right by the judgments, let through by the rules"] += int((relevant & passed).sum())
        # A text that is also a positive under another id is no negative either.
        same = np.array([text in row.positives for text in texts], bool)
        counts["same text as a positive"] += int((same & passed & ~relevant).sum())
        left = np.flatnonzero(passed & ~relevant & ~same)
        counts["passed"] += len(left)
        if self.config.take == "random":
            left = self.context.rng("negatives", row.query).permutation(left)
        left = left[: self.config.count]
        if self.config.scorer is not None and len(left):
            counts["hardness: score of a negative, sum"] += float(scores[left].sum())
            counts["hardness: score of its lowest positive, sum"] += lowest * len(left)
        counts["hardness: rank, sum"] += int((left + self.config.first_rank).sum())
        return list(dict.fromkeys(texts[place] for place in left.tolist()))

    def _ceilings(self, lowest: float) -> list[tuple[str, float]]:
        config = self.config
        made = []
        if config.percent_of_positive is not None:
            made.append(("percent_of_positive", lowest - abs(lowest) * (1 - config.percent_of_positive / 100)))
        if config.margin is not None:
            made.append(("margin", lowest - config.margin))
        if config.highest is not None:
            made.append(("highest", config.highest))
        return made

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return hardness, and the share of candidates that only the judgments kept from being false negatives."""
        negatives = max(1.0, counts.get("negatives", 0))
        passed = counts.get("passed", 0) + counts.get("right by the judgments, let through by the rules", 0)
        said = {
            "mean rank of a negative": counts.get("hardness: rank, sum", 0) / negatives,
            "right ones among what the rules let through": counts.get(
                "right by the judgments, let through by the rules", 0
            )
            / max(1.0, passed),
        }
        if self.config.scorer is not None:
            said["mean score of a negative"] = counts.get("hardness: score of a negative, sum", 0) / negatives
            said["mean score of its positive"] = (
                counts.get("hardness: score of its lowest positive, sum", 0) / negatives
            )
        return said

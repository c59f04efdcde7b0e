"""The component: a run's lists, ordered by a language model."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from spaniel.data import Corpus, Queries, Run

from spaniel_lm.config import ListwiseConfig
from spaniel_lm.listwise.prompts import INSTRUCTION, Prompter
from spaniel_lm.listwise.ranking import ListRanker, Ranking
from spaniel_lm.listwise.schedules import Schedule, count_windows, once, sliding, tournament
from spaniel_lm.protocol import LanguageModel

if TYPE_CHECKING:
    from spaniel import Context


class ListwiseReranker:
    """Orders the first ``k`` documents of each list; the others follow as they were.

    Scores are the places from the end of the list, since a language model gives an order and no scores.

    Attributes:
        rankings: of the last run, one a query, with their traces.
    """

    def __init__(self, config: ListwiseConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.rankings: list[Ranking] = []
        self._schedule()

    @cached_property
    def ranker(self) -> ListRanker:
        """What orders the lists."""
        model: LanguageModel = self.context.create("language_model", self.config.lm)
        config = self.config
        can = model.capabilities
        prompter = Prompter(
            model,
            instruction=INSTRUCTION if config.instruction is None else config.instruction,
            chat="chat" in can if config.chat == "auto" else config.chat,
            structured="schema" in can if config.decoding == "auto" else config.decoding == "structured",
            thought_tokens=config.thought_tokens,
            passage_tokens=config.passage_tokens,
            budget=config.budget or (model.window if "tokens" in can else None),
        )
        return ListRanker(model, prompter, self._schedule(), config.decoding == "constrained")

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        """Return the run with its lists in the model's order."""
        head = run.cut(self.config.k)
        texts = corpus.contents(head.rows)
        parts = [slice(head.offsets[at], head.offsets[at + 1]) for at in range(len(head))]
        ranker = self.ranker
        prompts = sum(count_windows(ranker.schedule, part.stop - part.start) for part in parts)
        with (
            self.context.stage(f"order by {self.config.lm}", prompts, "prompts"),
            self.context.following(prompts, self.context.advance),
        ):
            self.rankings = ranker.rank(queries.texts, [texts[part] for part in parts])
        rows, lengths = run.rows.copy(), run.lengths
        for at, ranking in enumerate(self.rankings):
            chosen = head.rows[parts[at]][list(ranking.order)]
            rows[run.offsets[at] : run.offsets[at] + len(chosen)] = chosen
        count = self.context.count
        windows = [window for ranking in self.rankings for window in ranking.windows]
        count("windows", len(windows))
        count("answers repaired", sum(not window.permutation.is_whole for window in windows))
        places = np.repeat(lengths, lengths) - run.ranks
        return Run.build(run.offsets, rows, places.astype(np.float32))

    def _schedule(self) -> Schedule:
        config = self.config
        if config.schedule == "once":
            return once()
        return (
            sliding(config.window, config.step, config.passes)
            if config.schedule == "sliding"
            else tournament(config.window)
        )

"""A query and a passage → the tokens that are read, with those of the views first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.batching import Tokens, tokenize

from spaniel_mvp.settings import Settings


class Prompter:
    """Writes prompts.

    Args:
        tokenizer: of the model.
        settings: of the model.

    Raises:
        UsageError: the tokenizer does not know the views' tokens.
    """

    def __init__(self, tokenizer: Any, settings: Settings) -> None:
        self.tokenizer = tokenizer
        self.settings = settings
        numbers = tokenizer.convert_tokens_to_ids(list(settings.tokens))
        known = [number is not None and number != tokenizer.unk_token_id for number in numbers]
        if not all(known):
            raise UsageError(f"the tokenizer does not know the view {settings.tokens[known.index(False)]!r}")
        self.views: NDArray[np.int64] = np.array(numbers, np.int64)

    def tokens(self, queries: Sequence[str], passages: Sequence[str]) -> Tokens:
        """Return the tokens of pairs; those of the views are at the places 0, 1, 2 … of each.

        Raises:
            UsageError: the tokenizer does not keep the views' tokens apart.
        """
        if self.settings.prompt == "pair":
            return self._pairs(queries, passages)
        views = "".join(self.settings.tokens)
        texts = [f"{views} | Query: {q} | Context: {p}" for q, p in zip(queries, passages, strict=True)]
        made = tokenize(self.tokenizer, texts, max_length=self.settings.max_length)
        first = made.offsets[:, None] + np.arange(len(self.views))
        if len(made) and not (made.lengths.min() >= len(self.views) and (made.ids[first] == self.views).all()):
            raise UsageError("the tokenizer does not give each view one token at the beginning of a prompt")
        return made

    def _pairs(self, queries: Sequence[str], passages: Sequence[str]) -> Tokens:
        views = len(self.views)
        made = tokenize(self.tokenizer, queries, passages, max_length=self.settings.max_length - views)
        lengths = made.lengths + views
        own = np.ones(int(lengths.sum()), bool)
        begins = (np.cumsum(lengths) - lengths)[:, None] + np.arange(views)
        own[begins] = False
        ids = np.empty(len(own), np.int64)
        ids[begins], ids[own] = self.views, made.ids
        if made.types is None:
            return Tokens(ids, lengths)
        types = np.zeros(len(own), np.int64)
        types[own] = made.types
        return Tokens(ids, lengths, types)

"""What ends an answer, and what comes out of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from spaniel_lm.tokenizer import Tokenizer

_TAIL = 8
"""Tokens that are looked at besides those that could spell the text that stops an answer."""


@dataclass(frozen=True)
class Found:
    """A path of tokens that a search has found; see :class:`spaniel_lm.protocol.Answer`."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Literal["stop", "length"]
    score: float


class Ending:
    """What ends an answer: a token of the model's, or a text.

    Args:
        tokenizer: of the model.
        ends: token numbers that end an answer.
        stop: texts that do.
    """

    def __init__(self, tokenizer: Tokenizer, ends: Sequence[int], stop: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.ends = torch.tensor(sorted(set(ends)), dtype=torch.long)
        self.stop = tuple(stop)

    def hits(self, tokens: Tensor) -> Tensor:
        """Whether each token ends its row: a bool of the same shape."""
        return torch.isin(tokens, self.ends.to(tokens.device))

    def stops(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these tokens completes a text that stops an answer."""
        if not self.stop:
            return False
        # A token stands for a character at least but for parts of one, which the tail allows for.
        tail = list(tokens[-(max(map(len, self.stop)) + _TAIL) :])
        text = self.tokenizer.text(tail)
        return any(one in text for one in self.stop)

    def text(self, tokens: Sequence[int]) -> str:
        """Return an answer's text, up to what stopped it."""
        text = self.tokenizer.text(tokens)
        places = [place for place in (text.find(one) for one in self.stop) if place >= 0]
        return text[: min(places)] if places else text

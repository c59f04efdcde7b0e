"""Tokens of texts, and what a language model learns to predict of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

IGNORED = -100
"""A target where nothing is predicted, as transformers has it."""
_BATCH = 1024


class Tokens(NamedTuple):
    """Texts as a model reads them.

    Attributes:
        ids: ``(texts, length)`` int64.
        words: ``(texts, length)`` int64, the number of each token's word in its text; -1 for special tokens and filling.
        filled: ``(texts, length)`` bool, which places hold a token.
    """

    ids: NDArray[np.int64]
    words: NDArray[np.int64]
    filled: NDArray[np.bool_]


class Reading(NamedTuple):
    """What a model reads, and what it has to say.

    Attributes:
        ids: ``(texts, length)`` int64, which it reads.
        targets: ``(texts, length)`` int64, the token that it has to predict at a place; :data:`IGNORED` where none.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]


@runtime_checkable
class Predicts(Protocol):
    """An objective of language models: beside its loss it says what is read and predicted."""

    def fit(self, vocabulary: Vocabulary, texts: Iterable[str]) -> None:
        """Learn of all texts what the loss needs, such as how rare tokens are."""
        ...

    def reading(self, tokens: Tokens, vocabulary: Vocabulary, seeds: Sequence[int]) -> Reading:
        """Return what is read and predicted of texts; what is drawn for a text depends on its seed alone."""
        ...

    def weights(self, targets: NDArray[np.int64], vocabulary: Vocabulary) -> NDArray[np.float32]:
        """Return what each target counts, of the shape of ``targets``."""
        ...


class Vocabulary:
    """A tokenizer of transformers, of the fast kind, and what is asked of it here.

    Raises:
        UsageError: it is none, so it cannot tell words.
    """

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        if not tokenizer.is_fast:
            raise UsageError(
                "the model's tokenizer has no tokenizer.json, and others do not say which tokens are a word"
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.size = len(tokenizer)
        self.special = np.array(sorted(set(tokenizer.all_special_ids)), np.int64)
        self.plain = np.setdiff1d(np.arange(self.size), self.special)

    @property
    def mask(self) -> int:
        """Number of the token that masks others.

        Raises:
            UsageError: there is none.
        """
        if self.tokenizer.mask_token_id is None:
            raise UsageError("the model's tokenizer has no mask token")
        return int(self.tokenizer.mask_token_id)

    def number(self, token: str) -> int | None:
        """Return the number of a token, or ``None`` where there is no such token."""
        found = self.tokenizer.get_vocab().get(token)
        return None if found is None else int(found)

    def read(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts, special ones as the model wants them."""
        made = self._encode(texts)
        ids: list[list[int]] = made["input_ids"]
        length = max(1, *map(len, ids))
        read = np.full((len(ids), length), self.tokenizer.pad_token_id or 0, np.int64)
        words = np.full((len(ids), length), -1, np.int64)
        filled = np.zeros((len(ids), length), bool)
        for row, one in enumerate(ids):
            read[row, : len(one)] = one
            filled[row, : len(one)] = True
            words[row, : len(one)] = [-1 if word is None else word for word in made.word_ids(row)]
        words[np.isin(read, self.special)] = -1
        return Tokens(read, words, filled)

    def counted(self, texts: Iterable[str]) -> tuple[NDArray[np.int64], int]:
        """Return how many texts hold each token, ``(size,)``, and how many texts there are."""
        every = list(texts)
        found = np.zeros(self.size, np.int64)
        for start in range(0, len(every), _BATCH):
            for one in self._encode(every[start : start + _BATCH])["input_ids"]:
                found[np.unique(np.array(one, np.int64))] += 1
        return found, len(every)

    def table(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """Return weights of tokens by their numbers, ``(size,)``; 1 for a token that is not named."""
        made = np.ones(self.size, np.float32)
        for token, weight in weights.items():
            number = self.number(token)
            if number is not None:
                made[number] = weight
        return made

    def _encode(self, texts: Sequence[str]) -> Any:
        limit = {"truncation": True, "max_length": self.max_length} if self.max_length else {}
        return self.tokenizer(list(texts), add_special_tokens=True, **limit)

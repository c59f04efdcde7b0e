"""Words by a pattern, with stop words and stemming."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import Stemmer

from spaniel_text.config import Words
from spaniel_text.protocol import Tokens
from spaniel_text.tokens import number

if TYPE_CHECKING:
    from spaniel import Context

ENGLISH_STOPWORDS = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
        "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
    )
)  # fmt: skip
"""Lucene's list of 33 English stop words."""


class WordAnalyzer:
    """Finds words, leaves out stop words, stems the rest; each distinct word is looked at once."""

    def __init__(self, config: Words, context: Context) -> None:
        self.config = config
        self._find = re.compile(config.pattern).findall
        stopwords = ENGLISH_STOPWORDS if config.stopwords == "english" else config.stopwords or ()
        self._stopwords = frozenset(stopwords)

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        if self.config.lowercase:
            texts = [text.lower() for text in texts]
        return number([self._find(text) for text in texts], self._change)

    def _change(self, words: list[str]) -> list[str | None]:
        # A stemmer keeps state, so each call has its own: analyzers are used from several threads.
        stems = Stemmer.Stemmer(self.config.stemmer).stemWords(words) if self.config.stemmer else words
        return [None if word in self._stopwords else stem for word, stem in zip(words, stems, strict=True)]

    def fingerprint(self) -> Mapping[str, Any]:
        """The version of the stemmer; the English stop words belong to this distribution's version."""
        return {"pystemmer": Stemmer.version()} if self.config.stemmer else {}

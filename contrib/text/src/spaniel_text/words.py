"""Words of any script, with stop words and stemming."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import Stemmer

from spaniel_text.characters import UNICODE
from spaniel_text.config import Words
from spaniel_text.protocol import Span, Tokens
from spaniel_text.segments import word_pattern
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
        self._normal = config.normalizer()
        self._own = re.compile(config.pattern) if config.pattern else None
        stopwords = ENGLISH_STOPWORDS if config.stopwords == "english" else config.stopwords or ()
        # Words are compared as they are written in the index: "Für" of a list is "für" of a text.
        self._stopwords = frozenset(map(self._normal, stopwords))

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        normal = map(self._normal, texts)
        return number([self._pattern(text).findall(text) for text in normal], self._change)

    def spans(self, text: str) -> list[Span]:
        """Return the tokens of a text with their places in it."""
        aligned = self._normal.aligned(text)
        pattern = self._pattern(aligned.text)
        found = [match.span(pattern.groups) for match in pattern.finditer(aligned.text)]
        terms = self._change([aligned.text[start:end] for start, end in found])
        return [Span(term, *aligned.span(*place)) for term, place in zip(terms, found, strict=True) if term is not None]

    def _pattern(self, text: str) -> re.Pattern[str]:
        return self._own or word_pattern(text, self.config.single_letters)

    def _change(self, words: list[str]) -> list[str | None]:
        # A stemmer keeps state, so each call has its own: analyzers are used from several threads.
        stems = Stemmer.Stemmer(self.config.stemmer).stemWords(words) if self.config.stemmer else words
        return [
            None if word in self._stopwords else stem or word or None for word, stem in zip(words, stems, strict=True)
        ]

    def fingerprint(self) -> Mapping[str, Any]:
        """The versions of Unicode and of the stemmer; the English stop words belong to this distribution's version."""
        return {"unicode": UNICODE} | ({"pystemmer": Stemmer.version()} if self.config.stemmer else {})

"""Character n-grams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import regex

from spaniel_text.characters import UNICODE, is_plain
from spaniel_text.config import CharNgrams
from spaniel_text.protocol import Span, Tokens
from spaniel_text.segments import word_pattern
from spaniel_text.tokens import number

if TYPE_CHECKING:
    from spaniel import Context

_CLUSTER = regex.compile(r"\X")


class NgramAnalyzer:
    """Every run of n grapheme clusters (letters with their marks) within a word; a shorter word is one token."""

    def __init__(self, config: CharNgrams, context: Context) -> None:
        self.config = config
        self._normal = config.normalizer()
        short = rf"|\b(\w{{1,{config.n - 1}}})\b" if config.n > 1 else "|(?!)()"
        self._plain = re.compile(rf"(?=(\w{{{config.n}}})){short}").findall

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        return number([self._grams(self._normal(text)) for text in texts])

    def spans(self, text: str) -> list[Span]:
        """Return the tokens of a text with their places in it."""
        aligned = self._normal.aligned(text)
        return [Span(aligned.text[a:b], *aligned.span(a, b)) for a, b in self._places(aligned.text)]

    def _grams(self, text: str) -> list[str]:
        if is_plain(text):
            return [long or short for long, short in self._plain(text)]
        return [text[start:end] for start, end in self._places(text)]

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the n-grams of a normalised text begin and end."""
        n = self.config.n
        for word in word_pattern(text, single=True).finditer(text):
            bounds = [cluster.start() for cluster in _CLUSTER.finditer(text, *word.span())] + [word.end()]
            for first in range(max(1, len(bounds) - n)):
                yield bounds[first], bounds[min(first + n, len(bounds) - 1)]

    def fingerprint(self) -> Mapping[str, Any]:
        """The versions of Unicode: this Python's for words, the library's for clusters."""
        return {"unicode": UNICODE, "regex": regex.__version__}

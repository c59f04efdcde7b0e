"""Character n-grams."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spaniel_text.config import CharNgrams
from spaniel_text.protocol import Tokens
from spaniel_text.tokens import number

if TYPE_CHECKING:
    from spaniel import Context


class NgramAnalyzer:
    """Every run of n characters within a word; a shorter word is one token."""

    def __init__(self, config: CharNgrams, context: Context) -> None:
        self.config = config
        self._find = re.compile(rf"(?=(\w{{{config.n}}}))|\b(\w{{1,{max(1, config.n - 1)}}})\b").findall

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        if self.config.lowercase:
            texts = [text.lower() for text in texts]
        if self.config.n == 1:
            return number([re.findall(r"\w", text) for text in texts])
        return number([[long or short for long, short in self._find(text)] for text in texts])

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing beyond the options."""
        return {}

"""Chinese words."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jieba
from spaniel.observe import loaded_property

from spaniel_text.characters import UNICODE
from spaniel_text.config import Chinese
from spaniel_text.protocol import Span, Tokens
from spaniel_text.tokens import number

if TYPE_CHECKING:
    from spaniel import Context

_WORD = re.compile(r"\w")


class ChineseAnalyzer:
    """Words by jieba; tokens without a letter or digit are left out."""

    def __init__(self, config: Chinese, context: Context) -> None:
        self.config = config
        self.context = context
        self._normal = config.normalizer()

    @loaded_property
    def _segmenter(self) -> Any:
        jieba.setLogLevel(logging.WARNING)
        segmenter = jieba.Tokenizer()
        segmenter.initialize()
        return segmenter

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        cut = self._segmenter.lcut_for_search if self.config.search else self._segmenter.lcut
        lists = [cut(self._normal(text)) for text in texts]
        return number(lists, lambda words: [word if _WORD.search(word) else None for word in words])

    def spans(self, text: str) -> list[Span]:
        """Return the tokens of a text with their places in it."""
        aligned = self._normal.aligned(text)
        found = self._segmenter.tokenize(aligned.text, mode="search" if self.config.search else "default")
        return [Span(word, *aligned.span(start, end)) for word, start, end in found if _WORD.search(word)]

    def fingerprint(self) -> Mapping[str, Any]:
        """The versions of Unicode and of jieba, whose dictionary decides the words."""
        return {"unicode": UNICODE, "jieba": jieba.__version__}

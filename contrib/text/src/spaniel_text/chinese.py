"""Chinese words."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jieba

from spaniel_text.config import Chinese
from spaniel_text.protocol import Tokens
from spaniel_text.tokens import number

if TYPE_CHECKING:
    from spaniel import Context

_WORD = re.compile(r"\w")


class ChineseAnalyzer:
    """Words by jieba; tokens without a letter or digit are left out."""

    def __init__(self, config: Chinese, context: Context) -> None:
        self.config = config

    @cached_property
    def _segmenter(self) -> Any:
        jieba.setLogLevel(logging.WARNING)
        segmenter = jieba.Tokenizer()
        segmenter.initialize()
        return segmenter

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        if self.config.lowercase:
            texts = [text.lower() for text in texts]
        cut = self._segmenter.lcut_for_search if self.config.search else self._segmenter.lcut
        return number([cut(text) for text in texts], lambda words: [w if _WORD.search(w) else None for w in words])

    def fingerprint(self) -> Mapping[str, Any]:
        """The version of jieba, whose dictionary decides the words."""
        return {"jieba": jieba.__version__}

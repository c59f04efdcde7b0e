"""Chinese words."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import jieba

from spaniel_text.config import Chinese
from spaniel_text.segmented import SegmentAnalyzer

if TYPE_CHECKING:
    from spaniel import Context


class ChineseAnalyzer(SegmentAnalyzer):
    """Words by jieba."""

    def __init__(self, config: Chinese, context: Context) -> None:
        super().__init__(config, context)
        self._mode = "search" if config.search else "default"

    def cut(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield the words of a normalised text; in the mode of search, the shorter ones inside a long one come before it."""
        yield from _segmenter().tokenize(text, mode=self._mode)

    def versions(self) -> Mapping[str, str]:
        """Return the version of jieba, whose dictionary decides the words."""
        return {"jieba": jieba.__version__}


@cache
def _segmenter() -> Any:
    jieba.setLogLevel(logging.WARNING)
    segmenter = jieba.Tokenizer()
    segmenter.initialize()
    return segmenter

"""Korean words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from kiwipiepy import Kiwi

from spaniel_text.config import Korean
from spaniel_text.segmented import SegmentAnalyzer

if TYPE_CHECKING:
    from spaniel import Context

_FUNCTION_WORDS = ("J", "E", "XS", "VCP")
"""How the tags begin of particles, endings, suffixes and the copula."""


class KoreanAnalyzer(SegmentAnalyzer):
    """Stems by Kiwi: 음식을 먹었습니다 is 음식, 먹."""

    def __init__(self, config: Korean, context: Context) -> None:
        super().__init__(config, context)
        self._left_out = () if config.function_words else _FUNCTION_WORDS

    def cut(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield the stems of a normalised text."""
        for token in _segmenter().tokenize(text):
            if not token.tag.startswith(self._left_out):
                yield token.form, token.start, token.end

    def versions(self) -> Mapping[str, str]:
        """Return the versions of Kiwi and of its model."""
        return {name: version(name) for name in ("kiwipiepy", "kiwipiepy-model")}


@cache
def _segmenter() -> Kiwi:
    # Names of several words would be one token, which a query of one of them could not find.
    return Kiwi(num_workers=1, load_multi_dict=False)

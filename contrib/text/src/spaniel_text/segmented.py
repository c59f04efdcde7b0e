"""What the analyzers of languages without spaces, or with endings, share: a library cuts, the rest is here."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spaniel.observe import loaded_property

from spaniel_text.characters import UNICODE
from spaniel_text.config import Spelling
from spaniel_text.protocol import Span, Tokens
from spaniel_text.tokens import number

if TYPE_CHECKING:
    from spaniel import Context

_WORD = re.compile(r"\w")
_ENDS = "\n。！？!?．. 　"
"""Where a long text is cut, the first that the end of a piece has."""


class SegmentAnalyzer(ABC):
    """Cuts normalised texts by a segmenter; what has no letter and no digit is no word."""

    def __init__(self, config: Spelling, context: Context) -> None:
        self.context = context
        self._normal = config.normalizer()

    @loaded_property
    def cutter(self) -> Callable[[str], Iterator[tuple[str, int, int]]]:
        """:meth:`cut`, once the library has loaded its dictionary."""
        next(self.cut("a"), None)
        return self.cut

    @abstractmethod
    def cut(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield the words of a normalised text: what is indexed, where it begins and where it ends."""

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """Return the versions of what decides the words."""

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        lists = [[word for word, _, _ in self.cutter(self._normal(text))] for text in texts]
        return number(lists, lambda words: [word if _WORD.search(word) else None for word in words])

    def spans(self, text: str) -> list[Span]:
        """Return the tokens of a text with their places in it."""
        aligned = self._normal.aligned(text)
        found = (
            (word, start, max(end, start + 1)) for word, start, end in self.cut(aligned.text) if _WORD.search(word)
        )
        return [Span(word, *aligned.span(start, end)) for word, start, end in found]

    def fingerprint(self) -> Mapping[str, Any]:
        """The versions of Unicode and of the segmenter with its dictionary."""
        return {"unicode": UNICODE, **self.versions()}


def pieces(text: str, most: int) -> Iterator[tuple[int, str]]:
    """Yield a text in pieces of ``most`` characters at most, each with its place; cut at ends of sentences if it can be."""
    start = 0
    while len(text) - start > most:
        places = (text.rfind(end, start + most // 2, start + most) for end in _ENDS)
        stop = next((place + 1 for place in places if place >= 0), start + most)
        yield start, text[start:stop]
        start = stop
    yield start, text[start:]

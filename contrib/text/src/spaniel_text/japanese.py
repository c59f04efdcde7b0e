"""Japanese words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from threading import local
from typing import TYPE_CHECKING, Any

from spaniel import UsageError
from sudachipy import Dictionary, SplitMode

from spaniel_text.config import Japanese
from spaniel_text.segmented import SegmentAnalyzer, pieces

if TYPE_CHECKING:
    from spaniel import Context

_FUNCTION_WORDS = ("助詞", "助動詞")
"""Particles and auxiliaries, as Sudachi calls them."""
_MOST = 10_000
"""Characters that Sudachi is given at once; it refuses more than 49,149 bytes."""


class JapaneseAnalyzer(SegmentAnalyzer):
    """The shortest words of Sudachi, in their normal forms: 食べた is 食べる, 附属 is 付属."""

    def __init__(self, config: Japanese, context: Context) -> None:
        super().__init__(config, context)
        self.config = config
        # A tokenizer keeps state, and analyzers are used from several threads.
        self._of_thread = local()

    def cut(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield the words of a normalised text in their normal forms."""
        left_out = () if self.config.function_words else _FUNCTION_WORDS
        for offset, piece in pieces(text, _MOST):
            for word in self._tokenizer().tokenize(piece):
                if word.part_of_speech()[0] not in left_out:
                    yield self._normal(word.normalized_form()), offset + word.begin(), offset + word.end()

    def versions(self) -> Mapping[str, str]:
        """Return the versions of Sudachi and of its dictionary."""
        _dictionary(self.config.dictionary)
        return {name: version(name) for name in ("sudachipy", f"sudachidict-{self.config.dictionary}")}

    def _tokenizer(self) -> Any:
        if not hasattr(self._of_thread, "tokenizer"):
            self._of_thread.tokenizer = _dictionary(self.config.dictionary).tokenizer(mode=SplitMode.A)
        return self._of_thread.tokenizer


@cache
def _dictionary(name: str) -> Any:
    try:
        return Dictionary(dict=name)
    except (ModuleNotFoundError, ValueError) as error:
        raise UsageError(
            f'dictionary={name}: it is not installed; pip install "sudachidict-{name}" brings it'
        ) from error

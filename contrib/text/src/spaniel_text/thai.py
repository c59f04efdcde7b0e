"""Thai words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from spaniel_text.segmented import SegmentAnalyzer

# Importing PyThaiNLP makes a folder in the home directory, for data that no analyzer uses.
if "PYTHAINLP_READ_MODE" not in os.environ:
    os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")

import pythainlp
from pythainlp.tokenize import word_tokenize


class ThaiAnalyzer(SegmentAnalyzer):
    """Words by the dictionary of PyThaiNLP: the fewest that cover the text within its letter clusters."""

    def cut(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield the words of a normalised text."""
        place = 0
        # The safe engine gives up looking far ahead where a text can be cut in too many ways.
        for word in word_tokenize(text, engine="newmm-safe", join_broken_num=False):
            place = text.index(word, place)
            yield word, place, place + len(word)
            place += len(word)

    def versions(self) -> Mapping[str, str]:
        """Return the version of PyThaiNLP, whose dictionary decides the words."""
        return {"pythainlp": pythainlp.__version__}

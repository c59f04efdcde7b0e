"""What an analyzer promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """Tokens of texts as numbers.

    Attributes:
        offsets: ``(texts + 1,)`` int64; the tokens of text ``i`` are ``offsets[i]:offsets[i + 1]``.
        ids: ``(tokens,)`` int32, positions in ``vocabulary``.
        vocabulary: the distinct tokens, in order of first occurrence.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    vocabulary: list[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lists(self) -> list[list[str]]:
        """Return the tokens of each text as text, for readers and tests."""
        words = [self.vocabulary[i] for i in self.ids]
        return [words[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]


class Span(NamedTuple):
    """A token and where it stands.

    Attributes:
        term: the token, as an index holds it.
        start: where what became the token begins in the original text, in characters.
        end: where it ends; ``text[start:end]`` is what a reader sees.
    """

    term: str
    start: int
    end: int


@runtime_checkable
class Analyzer(Protocol):
    """Texts → tokens."""

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts; those of a text do not depend on the others."""
        ...

    def spans(self, text: str) -> list[Span]:
        """Return the tokens of a text, in the order of :meth:`analyze`, with their places in the text as it was given."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the tokens beyond the options: versions of libraries, digests of lists."""
        ...

"""What an analyzer promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class Analyzer(Protocol):
    """Texts → tokens."""

    def analyze(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts; those of a text do not depend on the others."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the tokens beyond the options: versions of libraries, digests of lists."""
        ...

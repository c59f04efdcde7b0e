"""Where the tokens of an index stand in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spaniel.explanation import Side, Spot
    from spaniel_text.protocol import Analyzer


class Places:
    """A text's tokens in their order, with their places in it; none where an analyzer does not know them.

    Args:
        analyzer: what made the tokens.
        text: any text.
    """

    def __init__(self, analyzer: Analyzer, text: str) -> None:
        self.text = text
        tell = getattr(analyzer, "spans", None)
        self.spans: list[tuple[str, int, int]] = [tuple(span) for span in tell(text)] if callable(tell) else []
        self.tokens = [token for token, _, _ in self.spans]

    def in_order(self, parts: Sequence[tuple[str, ...]]) -> list[tuple[int, int] | None]:
        """Return where each part of the text stands; the parts are its tokens in order, some of them joined to phrases."""
        if self.tokens != [token for part in parts for token in part]:
            return [None] * len(parts)
        made: list[tuple[int, int] | None] = []
        at = 0
        for part in parts:
            made.append((self.spans[at][1], self.spans[at + len(part) - 1][2]))
            at += len(part)
        return made

    def spots(self, tokens: tuple[str, ...], side: Side) -> tuple[Spot, ...]:
        """Return every place in which tokens follow each other."""
        size = len(tokens)
        starts = (at for at in range(len(self.tokens) - size + 1) if tuple(self.tokens[at : at + size]) == tokens)
        return tuple((side, self.spans[at][1], self.spans[at + size - 1][2]) for at in starts)

    def words(self) -> dict[str, str]:
        """Return, for each token, the letters that stand where it first does."""
        return {token: self.text[start:end] for token, start, end in reversed(self.spans)}

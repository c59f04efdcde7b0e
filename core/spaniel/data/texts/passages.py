"""Long texts → passages, cut where paragraphs, lines or sentences end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

WORDS = 250
"""Words of a passage, unless something else is asked for."""
_RUN = 6
"""Characters without a blank between them that count as one word: Chinese has no blanks."""
_TOKEN = re.compile(rf"\S{{1,{8 * _RUN - 1}}}?[。．！？]|\S{{1,{8 * _RUN}}}")
_SENTENCE = re.compile(r"[.!?…。．！？][\"'”’»)\]]*\Z")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")


class _Piece(NamedTuple):
    start: int
    end: int
    words: int
    rank: int
    """How good it is to cut before it: 3 between paragraphs, 2 between lines, 1 between sentences, 0 elsewhere."""


def cut(text: str, words: int = WORDS) -> Iterator[tuple[int, int]]:
    """Yield begin and end of passages of at most ``words`` words; white space between them belongs to none.

    A passage ends at the last end of a paragraph in its second half, else of a line, else of a sentence, else where it is
    full. Whole paragraphs are put together up to that length.
    """
    held: list[_Piece] = []
    total = 0
    for piece in _pieces(text):
        while held and total + piece.words > words:
            at = _best(held, piece, words)
            yield held[0].start, held[at - 1].end
            total -= sum(one.words for one in held[:at])
            held = held[at:]
        held.append(piece)
        total += piece.words
    if held:
        yield held[0].start, held[-1].end


def _pieces(text: str) -> Iterator[_Piece]:
    end, last = 0, ""
    for token in _TOKEN.finditer(text):
        between = text[end : token.start()]
        if _PARAGRAPH.search(between):
            rank = 3
        elif "\n" in between:
            rank = 2
        else:
            rank = int(bool(_SENTENCE.search(last)))
        end, last = token.end(), token[0]
        yield _Piece(token.start(), end, -(-len(last) // (8 * _RUN)) if last.isascii() else -(-len(last) // _RUN), rank)


def _best(held: list[_Piece], following: _Piece, words: int) -> int:
    """Return before which piece it is best to cut; the one behind the last is what follows."""
    best, rank, seen = 0, -1, 0
    for at, piece in enumerate(held):
        if at and 2 * seen >= words and piece.rank >= rank:
            best, rank = at, piece.rank
        seen += piece.words
    return len(held) if following.rank >= rank else best

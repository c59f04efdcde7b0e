"""Long texts → passages, cut where paragraphs, lines or sentences end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

WORDS = 250
"""Words of a passage, unless something else is asked for."""
_LONG_WORD = 48
"""Characters after which something without a blank counts as one more word."""
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: two characters count as a word."""
_LINE = re.compile(r"[^\n]*\S[^\n]*")
_SENTENCE = re.compile(r"\S.*?(?:[.!?…][\"'”’»)\]]*(?=\s)|[。．！？]|$)")
_CHUNK = re.compile(rf"\S{{1,{_LONG_WORD // 2}}}")


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
    for piece in _pieces(text, words):
        while held and total + piece.words > words:
            at = _best(held, piece, words)
            yield _trimmed(text, held[0].start, held[at - 1].end)
            total -= sum(one.words for one in held[:at])
            held = held[at:]
        held.append(piece)
        total += piece.words
    if held:
        yield _trimmed(text, held[0].start, held[-1].end)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _pieces(text: str, words: int) -> Iterator[_Piece]:
    """Yield lines; those that are long as sentences, and sentences that are too long as words."""
    end = 0
    for line in _LINE.finditer(text):
        rank = 3 if text.count("\n", end, line.start()) > 1 else 2
        end = line.end()
        if 8 * _words(line[0]) <= words:
            yield _Piece(*line.span(), _words(line[0]), rank)
            continue
        for sentence in _SENTENCE.finditer(text, line.start(), line.end()):
            count = _words(sentence[0])
            if count <= words:
                yield _Piece(*sentence.span(), count, rank)
            else:
                for chunk in _CHUNK.finditer(text, *sentence.span()):
                    yield _Piece(*chunk.span(), _words(chunk[0]), rank)
                    rank = 0
            rank = 1


def _words(text: str) -> int:
    count = max(len(text.split()), len(text) // _LONG_WORD)
    return max(count, len(_UNSPACED.findall(text)) // 2) if not text.isascii() else count


def _best(held: list[_Piece], following: _Piece, words: int) -> int:
    """Return before which piece it is best to cut; the one behind the last is what follows."""
    best, rank, seen = 0, -1, 0
    for at, piece in enumerate(held):
        if at and 2 * seen >= words and piece.rank >= rank:
            best, rank = at, piece.rank
        seen += piece.words
    return len(held) if following.rank >= rank else best

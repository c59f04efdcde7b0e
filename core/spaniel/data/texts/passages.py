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
_SENTENCE = re.compile(r"\S.*?(?:[.!?…।॥؟۔။።][\"'”’»)\]]*(?=\s)|[。．！？]|$)")
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
        if 8 * count_words(line[0]) <= words:
            yield _Piece(*line.span(), count_words(line[0]), rank)
            continue
        for sentence in _SENTENCE.finditer(text, line.start(), line.end()):
            count = count_words(sentence[0])
            if count <= words:
                yield _Piece(*sentence.span(), count, rank)
            else:
                for chunk in _CHUNK.finditer(text, *sentence.span()):
                    yield _Piece(*chunk.span(), count_words(chunk[0]), rank)
                    rank = 0
            rank = 1


def count_words(text: str) -> int:
    """Return how many words a text has; where nothing stands between words, two characters count as one."""
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


Spans = list[tuple[int, int]]
"""Begins and ends in a text, in characters."""
_WORD = re.compile(rf"{_UNSPACED.pattern}{{1,2}}|(?:(?!{_UNSPACED.pattern})\S){{1,{_LONG_WORD}}}")
_STOPS = "!?‼⁇⁈⁉՜՞։؝؞؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿។៕།༎꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫"
_CLOSING = "\"'”’»›)\\]」』）】〉》"
# A run of signs is looked at once, from its begin, or a long one would take quadratic time.
_END = re.compile(
    rf"[。．！？｡]++[{_CLOSING}]*+|(?<![.…{_STOPS}])[.…{_STOPS}]++[{_CLOSING}]*+(?=\s|$)|\n[^\S\n]*+\n\s*+"
)
_SHORT = re.compile(
    r"(?:^|[\s(\[\"'“‘«])(?:[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]|mr|mrs|ms|dr|prof|st|sr|jr|vs|fig|figs|eq|no|nos|vol|pp?|al|cf|ca|"
    r"approx|inc|ltd|co|dept|gen|rev|hon|ed|eds|bzw|nr|usw|z\.b|d\.h|usf|ggf|art|abs|env|p\.ex|núm|sra?)\.$",
    re.IGNORECASE,
)


def words_of(text: str) -> Spans:
    """Return where words stand: what stands between blanks, and two characters of scripts that have none."""
    return [match.span() for match in _WORD.finditer(text)]


def sentences(text: str) -> Spans:
    """Return where sentences stand, in every script.

    A sentence ends at an empty line, and at the signs that Unicode counts as ends of sentences: those of Chinese and
    Japanese wherever they stand, others before a blank. After a full stop it goes on where a small letter or a digit's
    unit follows, and after an initial or one of a few usual abbreviations (``Dr.``, ``e.g.``, ``Nr.``).
    """
    made: Spans = []
    start = 0
    for match in _END.finditer(text):
        if text[match.start()] in ".…" and not _ends(text, start, match):
            continue
        made.append((start, match.start() if match[0].isspace() else match.end()))
        start = match.end()
    made.append((start, len(text)))
    return [span for span in (_trimmed(text, *span) for span in made) if span[0] < span[1]]


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 80].lstrip()[:1]
    if following.islower():
        return False
    # Long enough for any abbreviation, and never the whole text again.
    return match[0] != "." or not _SHORT.search(text[max(start, match.start() - 16) : match.end()])


def windows(spans: Spans, size: int, stride: int, sizes: list[int] | None = None) -> Iterator[tuple[int, int]]:
    """Yield begin and end of overlapping passages of whole pieces.

    Args:
        spans: the pieces, such as words or sentences.
        size: how many a passage has at most; a piece that is larger is a passage of its own.
        stride: how many lie between the begins of two passages, at least one piece.
        sizes: what each piece counts, such as the number of its tokens; 1 where not given.
    """
    counts = sizes or [1] * len(spans)
    first = 0
    while first < len(spans):
        last, total = first, 0
        while last < len(spans) and (last == first or total + counts[last] <= size):
            total += counts[last]
            last += 1
        yield spans[first][0], spans[last - 1][1]
        if last == len(spans):
            return
        moved = 0
        # No piece is left out, also where one is larger than the stride.
        while first < last and (moved == 0 or moved + counts[first] <= stride):
            moved += max(1, counts[first])
            first += 1


def is_unspaced(word: str) -> bool:
    """Whether a word has characters of a script that puts no blanks between words."""
    return _UNSPACED.search(word) is not None

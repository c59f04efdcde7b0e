"""Where words stand in a text: the one pattern of a word, for every script.

A word begins with a letter, a digit or an underscore, and goes on with these and with marks (vowel signs, viramas,
points, accents that have no composed form) and joiners, which ``\\w`` of the standard library leaves out. It ends at
apostrophes and hyphens. A single letter is a word (Hindi न, Russian я), unless it is Latin or Greek; a single digit is
none.
"""

from __future__ import annotations

import re
from functools import cache

from spaniel_text.characters import LATIN_GREEK, NUMBERS, has_astral, is_plain, marks
from spaniel_text.normal import Normalizer

_PLAIN = {False: re.compile(r"\w\w+"), True: re.compile(r"\w+")}
_NORMAL = Normalizer()


def word_pattern(text: str, single: bool = False) -> re.Pattern[str]:
    """Return the pattern that finds the words of a text.

    Args:
        text: the text; plain ones have a simpler and faster pattern, which finds the same.
        single: whether single Latin and Greek letters and digits are words as well.
    """
    return _PLAIN[single] if is_plain(text) else _unicode(single, has_astral(text))


def find_words(text: str) -> list[str]:
    """Return the words of a text, single letters among them, normalised (NFKC) and case-folded."""
    text = _NORMAL(text)
    return word_pattern(text, single=True).findall(text)


@cache
def _unicode(single: bool, astral: bool) -> re.Pattern[str]:
    more = marks(astral)
    # The Catalan l·l is a letter of the middle of words; other points between letters are signs.
    tail = f"(?:·(?<=l·)(?=l[^\\W\\d_])[\\w{more}]*)*"
    if single:
        return re.compile(f"\\w[\\w{more}]*{tail}")
    alone = f"[^\\W\\d_{LATIN_GREEK}{NUMBERS}]"
    return re.compile(f"\\w[{more}]*\\w[\\w{more}]*{tail}|{alone}[{more}]*")

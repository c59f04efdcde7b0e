"""Classes of characters, by the Unicode data of this Python."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

UNICODE = unicodedata.unidata_version
"""The version of Unicode that decides what a letter, a mark and a digit is."""

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8"
)
"""Default ignorable code points (soft hyphens, joiners, marks of direction, selectors of variants), which
NFKC_Casefold removes as well; all but the zero width space, which stands between words."""

INVISIBLE_ASTRAL = "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
"""Those beyond the Basic Multilingual Plane."""

ORNAMENTS = "\u0640\u055a-\u055c\u055e\u05f3\u05f4"
"""What stands inside a word and is none of its letters: the Arabic tatweel, the Armenian marks of emphasis, exclamation
and question, Hebrew geresh and gershayim."""

LATIN_GREEK = (
    "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u02ff\u0370-\u03ff\u1d00-\u1dbf\u1e00-\u1fff\u2071\u207f\u2090-\u209c\u2100-\u214f"
    "\u2c60-\u2c7f\ua722-\ua7ff\uab30-\uab6f\uff21-\uff3a\uff41-\uff5a"
)
"""Letters that alone are initials, variables or what an elision leaves, not words."""

NUMBERS = "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793"
"""Numbers in one character that are no decimal digits."""

_OTHER = re.compile(
    "[^\0-\u00ac\u00ae-\u00b6\u00b8-\u00bb\u00bf-\u02ff\u0370-\u03ff\u1e00-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u209c"
    "\u20a0-\u20bf\u2100-\u211f\u2121\u2123-\u214f\u2190-\u22ff]"
)

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")

_LAST = 0x1FC00
"""Marks and digits end before this; what follows are ideographs and invisible characters."""


def is_plain(text: str) -> bool:
    """Say whether a text is of Latin and Greek letters, punctuation and signs alone, with no mark and nothing invisible.

    Most texts of European languages are, and their words are found several times as fast.
    """
    return text.isascii() or not _OTHER.search(text)


def has_astral(text: str) -> bool:
    """Say whether a text has characters beyond the Basic Multilingual Plane."""
    return bool(_ASTRAL.search(text))


@cache
def marks(astral: bool = True) -> str:
    """Return what continues a word without being a letter, for a class of a regular expression: marks, invisible ones.

    Args:
        astral: with those beyond the Basic Multilingual Plane, which make a class several times as slow.
    """
    found = map(chr, range(0x300, _LAST if astral else 0x10000))
    ranges = _ranges(char for char in found if unicodedata.category(char)[0] == "M")
    return ranges + INVISIBLE + (INVISIBLE_ASTRAL if astral else "")


@cache
def digits() -> str:
    """Return the decimal digits of every script but ASCII's, for a class of a regular expression."""
    return _ranges(char for char in map(chr, range(0x300, _LAST)) if char.isdecimal())


def members(ranges: str) -> frozenset[str]:
    """Return the characters of ranges as the class of a regular expression has them: ``a-cx`` is a, b, c and x."""
    parts = re.findall("(.)(?:-(.))?", ranges, re.DOTALL)
    return frozenset(chr(code) for first, last in parts for code in range(ord(first), ord(last or first) + 1))


def _ranges(characters: Iterable[str]) -> str:
    """Return ascending characters as ranges."""
    found: list[list[str]] = []
    for char in characters:
        if found and ord(found[-1][1]) + 1 == ord(char):
            found[-1][1] = char
        else:
            found.append([char, char])
    return "".join(f"{first}-{last}" for first, last in found)

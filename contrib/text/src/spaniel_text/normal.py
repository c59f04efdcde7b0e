"""One spelling for each word: Unicode normalisation and case, with the way back to the text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

from spaniel_text.characters import (
    INVISIBLE,
    INVISIBLE_ASTRAL,
    ORNAMENTS,
    digits,
    has_astral,
    is_plain,
    marks,
    members,
)

Form = Literal["nfkc", "nfc", "none"]

_APART = re.compile("[\u2120\u2122\u00bc-\u00be\u2150-\u215f\u2189]")
"""Trade marks and fractions: letters and digits to NFKC, but no part of the word before them."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_TURKIC = str.maketrans({"I": "ı", "İ": "i"})
_SARA_AM = (
    (re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32"), "\\1\u0e33"),
    (re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2"), "\\1\u0eb3"),
)
"""Sara am, which NFKC takes apart and every dictionary writes as one."""

_JOINED = {"\u0d23": "ൺ", "\u0d28": "ൻ", "\u0d30": "ർ", "\u0d32": "ൽ", "\u0d33": "ൾ", "\u0d15": "ൿ", "\u09a4": "ৎ"}
"""Malayalam chillus and the Bengali khanda ta, which older texts write as a consonant, a virama and a joiner."""
_OLDER = re.compile("([\u0d23\u0d28\u0d30\u0d32\u0d33\u0d15])\u0d4d\u200d|(\u09a4)\u09cd\u200d")


@dataclass(frozen=True)
class Aligned:
    """A normalised text, and where its characters come from.

    Attributes:
        text: the normalised text.
        starts: of each of its characters, where what it was made of begins in the original text.
        ends: where it ends.
    """

    text: str
    starts: list[int]
    ends: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the normalised text, at least a character long, stands in the original."""
        return self.starts[start], self.ends[end - 1]


@dataclass(frozen=True)
class Normalizer:
    """Text → the spelling under which it is indexed.

    ``nfkc`` is Unicode's NFKC without invisible characters and ornaments (as NFKC_Casefold removes them), with the
    digits of every script as 0 to 9; ``nfc`` keeps compatibility characters and digits; ``none`` changes nothing but
    halves of surrogate pairs, which are no characters. Case
    is folded, not lowered, so that ß meets SS and a final sigma the others; İ is i in every language.

    Attributes:
        form: the normal form.
        fold: whether case is folded.
        dotless: whether I is the capital of ı, as in Turkish and Azeri.
    """

    form: Form = "nfkc"
    fold: bool = True
    dotless: bool = False

    def __call__(self, text: str) -> str:
        """Return a text normalised."""
        if text.isascii():
            if not self.fold:
                return text
            return (text.translate(_TURKIC) if self.dotless else text).lower()
        if self.fold and "ß" in text:
            text = _lone_eszett().sub("β", text)
        return self._spell(text)

    def _spell(self, text: str) -> str:
        plain = is_plain(text)
        if self.form != "none" and not plain:
            text = _too_many_marks(has_astral(text)).sub(r"\1", text)
        if self.form == "nfkc":
            text = unicodedata.normalize("NFKC", text if plain else _APART.sub(_set_apart, text))
        elif self.form == "nfc":
            text = unicodedata.normalize("NFC", text)
        if not plain:
            text = _without_noise(text, self.form)
        if not self.fold:
            return text
        text = text.translate(_TURKIC) if self.dotless else text.replace("İ", "i")
        folded = text.casefold()
        return folded if self.form == "none" else unicodedata.normalize("NFC", folded)

    def aligned(self, text: str) -> Aligned:
        """Return a text normalised, with the places that its characters come from."""
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        if self.fold and "ß" in text:
            text = _lone_eszett().sub("β", text)
        spelt: dict[str, str] = {}
        for found in _cluster().finditer(text):
            cluster = found[0]
            if cluster not in spelt:
                spelt[cluster] = self._spell(cluster)
            part = spelt[cluster]
            parts.append(part)
            begin, end = found.span()
            if len(part) == end - begin and len(part) > 1:
                starts += range(begin, end)
                ends += range(begin + 1, end + 1)
            else:
                starts += [begin] * len(part)
                ends += [end] * len(part)
        return Aligned("".join(parts), starts, ends)


@cache
def _cluster() -> re.Pattern[str]:
    # Marks, the second and third letters of a Hangul syllable and its halves of other widths, the sound marks of
    # half-width kana, and the second half of sara am: what normalisation may join with the character before.
    joined = "\u1160-\u11ff\ud7b0-\ud7fb\u3131-\u318e\uffa1-\uffdc\uff9e\uff9f\u0e32\u0eb2"
    return re.compile(f"[\\0-\\x7f]+(?=[\\0-\\x7f]|\\Z)|.[{marks()}{ORNAMENTS}{joined}]*", re.DOTALL)


@cache
def _too_many_marks(astral: bool) -> re.Pattern[str]:
    # No writing has more than thirty (Unicode's stream-safe format), and to order many takes quadratic time.
    return re.compile(f"([{marks(astral)}]{{30}})[{marks(astral)}]+")


@cache
def _lone_eszett() -> re.Pattern[str]:
    # The β of a text whose writer had none is no ss.
    return re.compile(f"(?<![\\w{marks()}])ß(?![\\w{marks()}])")


@cache
def _noise() -> tuple[frozenset[str], re.Pattern[str]]:
    noise = f"{INVISIBLE}{INVISIBLE_ASTRAL}{ORNAMENTS}\ud800-\udfff{digits()}"
    return members(noise), re.compile(f"[{noise}]")


def _without_noise(text: str, form: Form) -> str:
    if form == "none":
        return _SURROGATES.sub("\ufffd", text)
    characters, pattern = _noise()
    if "\u200d" in text:
        text = _OLDER.sub(lambda found: _JOINED[found[1] or found[2]], text)
    if form == "nfkc":
        for parts, whole in _SARA_AM:
            text = parts.sub(whole, text)
    # The set says no several times as fast as the pattern.
    if characters.isdisjoint(text):
        return text
    return pattern.sub(_clean if form == "nfkc" else _drop, text)


def _clean(found: re.Match[str]) -> str:
    char = found[0]
    return str(unicodedata.decimal(char)) if char.isdecimal() else _drop(found)


def _drop(found: re.Match[str]) -> str:
    char = found[0]
    if char.isdecimal():
        return char
    return "\ufffd" if "\ud800" <= char <= "\udfff" else ""


def _set_apart(found: re.Match[str]) -> str:
    return " " if found[0] in "\u2120\u2122" else f" {found[0]} "

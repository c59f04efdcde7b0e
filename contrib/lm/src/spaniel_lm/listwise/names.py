"""Names of candidates in text, and what links them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

STATED, LISTED, HINTED = 3, 2, 1
"""An order by itself; one among other words; numbers that lines begin with."""
LABEL = (
    r"(?:passage|document|doc|text|snippet|paragraph|candidate|item|chunk|article|abstract|context|result|option|"
    r"identifier|id|dokument|absatz|textstelle|documento|pasaje|texte|párrafo|пассаж|документ|отрывок|текст|段落|文档|"
    r"文書|文章|篇章)s?"
)
_TOKEN = re.compile(
    rf"\[[^\[\]\n]*\]|(?<![^\W_]){LABEL}[ _#-]{{0,3}}(?:(?:no|nr|number|id)[.:]? ?)?[\[(]?#?\d+[\])]?"
    r"|(?<![^\W_])[PD]\d+(?![A-Za-z0-9_%]|\.\d)"
    r"|\(\s*#?\d+\s*\)|\{\s*\d+\s*\}|(?<![A-Za-z0-9_.])#?\d+(?![A-Za-z0-9_%]|\.\d)",
    re.IGNORECASE,
)
_PARENTHESES = re.compile(r"\([^()\n]*\)")
_WORD = re.compile(r"[^\W\d_]{2}")
_INSIDE = re.compile(rf"(?:{LABEL}|and|[pd](?=\d)|[\s,;&/#\"'.>=-]|\d+)*", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,9})\s*-\s*(\d{1,9})")
_NUMBER = re.compile(r"\d+")
NOTE = re.compile(r"\([^()\n]*\)|[:=]?\s*\d+\.\d+")
NOISE = re.compile(r"[\s*_`\"'~|\[\]{}$\\]+")
_LINKED = re.compile(
    r"(?:and|then|followed|by|over|before|next|rank|passages?|documents?|docs?|text|id|boxed|und|dann|et|puis|y|e|luego|и|"
    r"затем|和|然后|と|再)"
)


@dataclass(frozen=True)
class Order:
    """Candidates in an order, as they were named: from 1, doubled and foreign ones included.

    Attributes:
        ids: those.
        weight: :data:`STATED`, :data:`LISTED` or :data:`HINTED`.
        at: character of the text at which it begins.
        lines: characters at which the lines of a list begin.
    """

    ids: tuple[int, ...]
    weight: int
    at: int
    lines: tuple[int, ...] = ()


@dataclass(frozen=True)
class Token:
    """A name of one or more candidates: ``[2]``, ``[1, 2]``, ``Passage 3``, ``(3)``, ``3``."""

    ids: tuple[int, ...]
    start: int
    end: int
    shape: str

    @property
    def is_strong(self) -> bool:
        return self.shape in ("bracket", "label")


Line = tuple[int, str, list[Token]]


def lines_of(text: str) -> Iterator[Line]:
    at = 0
    for line in text.split("\n"):
        yield at, line, list(_tokens(line))
        at += len(line) + 1


def _tokens(line: str) -> Iterator[Token]:
    # A bare number among words in parentheses is a score, a year or a count.
    remarks = [one.span() for one in _PARENTHESES.finditer(line) if _WORD.search(one[0])]
    for found in _TOKEN.finditer(line):
        name = found[0]
        shape = {"[": "bracket", "(": "paren", "{": "paren"}.get(
            name[0], "bare" if name.lstrip("#").isdigit() else "label"
        )
        if shape == "bare" and any(start < found.start() < end for start, end in remarks):
            continue
        if shape == "bracket":
            if not _INSIDE.fullmatch(name[1:-1]) or line[found.end() : found.end() + 1] == "(":
                continue  # words, or a link
            ids = _group(name)
        else:
            ids = tuple(int(number[:9]) for number in _NUMBER.findall(name))
        if ids:
            yield Token(ids, found.start(), found.end(), shape)


def _group(name: str) -> tuple[int, ...]:
    ids: list[int] = []
    last = 0
    for found in _RANGE.finditer(name):
        ids += [int(number[:9]) for number in _NUMBER.findall(name[last : found.start()])]
        ids += between(int(found[1]), int(found[2]))
        last = found.end()
    return (*ids, *(int(number[:9]) for number in _NUMBER.findall(name[last:])))


def between(first: int, last: int) -> list[int]:
    if abs(last - first) > 1000:
        return [first, last]
    return list(range(first, last + 1)) if first <= last else list(range(first, last - 1, -1))


def link(gap: str) -> str:
    """Return how two names are linked: ``>``, ``<``, ``-``, ``,`` (any other separator, or none); empty: they are not."""
    gap = NOISE.sub(" ", NOTE.sub(" ", gap))
    words = re.findall(r"[^\W\d_]+", gap)
    signs = re.sub(r"[\w\s]", "", gap)
    if re.search(r"\d", gap):
        return ""
    if ">" in signs and not signs.strip(">=-.:#,"):
        return ">" if len(words) <= 6 else ""
    if "<" in signs and not signs.strip("<=-"):
        return "<" if len(words) <= 6 else ""
    if signs.strip(",;/&+=-#·•") or not all(_LINKED.fullmatch(word.lower()) for word in words):
        return ""
    return "-" if signs == "-" and not words else ","

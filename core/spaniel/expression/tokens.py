"""Text → tokens, and the place of a fault underlined."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from spaniel.errors import UsageError
from spaniel.expression.tree import HOLE, NAME, Span

_SHOWN = 200
"""Characters of a line that a message shows."""
_END = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<range>-?{_END}\.\.-?{_END}(?![\w.]))
    |(?P<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<path>(?:\.{{1,2}}|~)?/[^\s,()\[\]"'=?*%+>]*)
    |(?P<name>{NAME.pattern})
    |(?P<mark>>>|[%+*()\[\],=?])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """A token with its place: ``type`` is range, number, string, path, name, mark or end."""

    type: str
    text: str
    start: int
    end: int


def point_out(source: str, span: Span, message: str) -> str:
    """Return the message with the place underlined beneath the line of the source that holds it."""
    start = min(span[0], len(source))
    line_start = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", start)
    line = source[line_start : line_end if line_end >= 0 else len(source)]
    column = start - line_start
    width = max(1, min(span[1], line_start + len(line)) - start)
    if len(line) > _SHOWN:
        begin = max(0, min(column - _SHOWN // 2, len(line) - _SHOWN))
        part = line[begin : begin + _SHOWN]
        line = ("… " if begin else "") + part + (" …" if begin + _SHOWN < len(line) else "")
        column += (2 if begin else 0) - begin
        width = max(1, min(width, _SHOWN - column))
    visible = "".join(c if c.isprintable() else " " for c in line)
    return f"{message}\n  {visible}\n  {' ' * column}{'^' * width}"


def _word(text: str, at: int) -> str:
    """Return what stands without white space, comma, bracket or equals sign around a place."""
    around = re.compile(r"[^\s,()\[\]=]*")
    begin = max(text.rfind(mark, 0, at) for mark in " \t\n,()[]=") + 1
    found = around.match(text, begin)
    return found[0][:_SHOWN] if found else text[at]


def tokenize(text: str, holes: bool) -> list[Token]:
    """Return the tokens of a text, and behind them one that stands for its end.

    Raises:
        UsageError: something is no token, or a hole where there can be none.
    """
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            quote = text[at] in "\"'"
            what = "text without a closing quote" if quote else f"unexpected {text[at]!r}"
            hint = "" if quote else f": {json.dumps(_word(text, at), ensure_ascii=False)}"
            raise UsageError(point_out(text, (at, at + 1), f"{what}; text that is no plain name needs quotes{hint}"))
        if match.group() == HOLE and not holes:
            message = "unexpected '?': holes are for `spaniel explore`; other text needs quotes"
            raise UsageError(point_out(text, match.span(), message))
        if match.lastgroup != "space":
            tokens.append(Token(str(match.lastgroup), match.group(), match.start(), match.end()))
        at = match.end()
    tokens.append(Token("end", "", len(text), len(text) + 1))
    return tokens

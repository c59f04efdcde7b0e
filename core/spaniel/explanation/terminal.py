"""Explanations on a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from spaniel.explanation.contribution import Contribution, by_size
from spaniel.explanation.shading import Segment, segments, strongest

if TYPE_CHECKING:
    from spaniel.explanation.contrast import Contrast
    from spaniel.explanation.explanation import Explanation

_LABEL = 48
# Five steps of blue and of orange, told apart by those who do not tell red from green, each with a text that is read on it.
_FOR = ((189, 16), (153, 16), (111, 16), (68, 15), (25, 15))
_AGAINST = ((230, 16), (223, 16), (215, 16), (172, 16), (130, 15))
_LINES = 12
"""Lines of a document that are printed."""


class _Line(NamedTuple):
    depth: int
    part: Contribution


def print_explanation(explanation: Explanation, width: int, parts: int, colour: bool, columns: int) -> str:
    """Return an explanation as lines; see :meth:`Explanation.to_text`."""
    lines = [
        _clean(f"{explanation.document_id}  {explanation.unit} {explanation.amount}  by {explanation.under}"),
        _clean(f'query "{explanation.query}", explained by {explanation.explainer}'),
    ]
    if explanation.absence:
        lines.append(_clean(f"  {explanation.absence}"))
    lines += [_clean(f"  {place.stage}: {place.words}") for place in explanation.stages if len(explanation.stages) > 1]
    if colour:
        lines += _shaded_texts(explanation, columns)
    return "\n".join([*lines, *_table(explanation, width, parts, lambda part: part.note)])


def print_contrast(contrast: Contrast, width: int, parts: int, colour: bool, columns: int) -> str:
    """Return a contrast as lines; see :meth:`Contrast.to_text`."""
    first, second, difference = contrast.first, contrast.second, contrast.difference
    lines = [
        _clean(f"why {first.document_id} ({first.score:.4f}) and not {second.document_id} ({second.score:.4f})"),
        _clean(f'query "{first.query}" under {first.under}, explained by {first.explainer}'),
    ]
    lines += [_clean(f"  {one.document_id}: {one.absence}") for one in (first, second) if one.absence]
    for one in (first, second) if colour else ():
        if any(piece.score is not None for piece in segments(one.text, one.contributions, "document")):
            lines += [_clean(one.document_id), *_shaded(one, "document", columns)]
    lines.append(f"  difference {difference.score:+.4f}")
    return "\n".join([*lines, *_table(difference, width, parts, lambda part: part.note)])


def _table(explanation: Explanation, width: int, parts: int, note: Callable[[Contribution], str]) -> list[str]:
    shown = [_Line(0, part) for part in explanation.sorted()]
    hidden = shown[parts:]
    rows = [line for top in shown[:parts] for line in (top, *_children(top.part, 1, parts))]
    if hidden:
        rest = sum(line.part.score for line in hidden)
        rows.append(_Line(0, Contribution(f"({len(hidden)} more)", rest, "rest")))
    if explanation.remainder:
        rows.append(_Line(0, explanation.parts()[-1]))
    names = ["  " * depth + _clean(part.label) for depth, part in rows]
    largest = max((abs(part.score) for depth, part in rows if not depth), default=0.0) or 1.0
    label = min(_LABEL, max(map(_cells, names), default=0))
    made = []
    for name, (depth, part) in zip(names, rows, strict=True):
        bar = "█" * round(width * min(1.0, abs(part.score) / largest)) if not depth else ""
        cut = _fit(name, label)
        made.append(f"  {cut} {part.score:>+10.4f}  {bar:<{width}}  {_clean(note(part))}".rstrip())
    return made


def _children(part: Contribution, depth: int, parts: int) -> list[_Line]:
    rows: list[_Line] = []
    children = by_size(part.children)
    for child in children[:parts]:
        rows += [_Line(depth, child), *_children(child, depth + 1, parts)]
    if len(children) > parts:
        rest = sum(child.score for child in children[parts:])
        rows.append(_Line(depth, Contribution(f"({len(children) - parts} more)", rest, "rest")))
    return rows


def _shaded_texts(explanation: Explanation, columns: int) -> list[str]:
    made = _shaded(explanation, "query", columns)
    made += _shaded(explanation, "document", columns)
    return ["", *made, ""] if made else []


def _shaded(explanation: Explanation, side: str, columns: int) -> list[str]:
    """Return a text in lines of words, each word on the colour of what it contributes."""
    text = explanation.query if side == "query" else explanation.text
    pieces = segments(text, explanation.contributions, side)
    if all(piece.score is None for piece in pieces):
        return []
    largest, lines, line, used = strongest(pieces), [], "  ", 0
    for piece in pieces:
        for word in _words(piece):
            cells = _cells(word)
            if used and used + cells > columns - 2:
                lines.append(line)
                line, used = "  ", 0
                if word.isspace():
                    continue
            line += _painted(word, (piece.score or 0.0) / largest)
            used += cells
    lines.append(line)
    return [*lines[:_LINES], "  …"] if len(lines) > _LINES else lines


def _words(piece: Segment) -> Sequence[str]:
    """Return a piece whole where it is shaded and short, else its words and blanks."""
    text = _clean(piece.text)
    return [text] if piece.score is not None and len(text) < 30 else [word for word in re.split(r"(\s+)", text) if word]


def _painted(word: str, share: float) -> str:
    if abs(share) < 0.05:
        return word
    steps = _FOR if share > 0 else _AGAINST
    background, foreground = steps[min(len(steps) - 1, int(abs(share) * len(steps)))]
    return f"\x1b[48;5;{background};38;5;{foreground}m{word}\x1b[0m"


def _clean(text: str) -> str:
    """Return a text in which nothing can move a terminal's cursor or colours."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text.replace("\n", " ").replace("\t", " "))


def _cells(text: str) -> int:
    """Return the columns of a text: wide letters two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )


def _fit(text: str, columns: int) -> str:
    """Return a text cut and filled up to some columns."""
    while _cells(text) > columns:
        text = text[:-2] + "…" if len(text) > 1 else ""
    return text + " " * (columns - _cells(text))

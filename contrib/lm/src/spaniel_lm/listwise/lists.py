"""Lists and tables of candidates, a line each: the numbers of lines are no identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from spaniel_lm.listwise.names import HINTED, LABEL, LISTED, NOISE, NOTE, STATED, Line, Order, Token, link

_RANK = re.compile(r"\b(?:rank|place|position|rang|platz|puesto|место)\b|#|名次|排名|順位|第$", re.IGNORECASE)
_PASSAGE = re.compile(rf"{LABEL}|\[\]", re.IGNORECASE)
_SCORE = re.compile(
    r"[\s:=*_`|>()-]*(?P<word>(?:relevan\w+|scores?|rating|grade|relevance score)\W{1,4})*(?P<number>\d{1,4}(?P<fraction>\.\d+)?)"
    r"(?P<of>\s*(?:/|out of|of)\s*\d+|\s*%)?(?![\d.]*\d)",
    re.IGNORECASE,
)
_NUMBERING = re.compile(r"[\s*_`|.):#>\\-]*")


_Item = tuple[int, tuple[int, ...], bool, int]
"""Number of a line, the candidates behind it, whether there is nothing else, and where the line begins."""


def numbered(lines: list[Line]) -> Iterator[Order]:
    """Yield lists whose lines have numbers of their own: ``1. Passage 3``, ``Rank 1: [3]``, ``| 1 | 3 |``."""
    swapped = cells = False
    groups: list[tuple[list[_Item], list[tuple[int, int]]]] = []
    for start, line, tokens in lines:
        if not tokens and ("|" in line or "," in line):
            rank, passage = _RANK.search(line), _PASSAGE.search(line)
            swapped = bool(rank and passage and passage.start() < rank.start()) if rank or passage else swapped
            cells = bool(rank and passage and "," in line)
        for number, ids, is_pure, pair, in_any_order in _items(line, tokens, swapped, cells):
            items, pairs = groups[-1] if groups else ([], [])
            follows = items and (abs(number - items[-1][0]) == 1 or in_any_order or (pair and len(pairs) == len(items)))
            if not follows:
                items, pairs = [], []
                groups.append((items, pairs))
            items.append((number, ids, is_pure, start))
            pairs += [pair] if pair else []
    for items, pairs in groups:
        if len(items) > 1 or (len(groups) == 1 and not pairs):
            yield from _list(items, pairs)


def scored(lines: list[Line]) -> Iterator[Order]:
    """Yield lists whose lines give a candidate and its score: ``Passage 2: 0.9``, ``[1] relevance 3/10``; the highest first."""
    made: list[tuple[float, int, int]] = []
    for start, line, tokens in [*lines, (0, "end", [])]:
        if not line.strip(" -=:|`*"):
            continue
        first = tokens[0] if tokens and tokens[0].is_strong and len(tokens[0].ids) == 1 else None
        if first is not None and not line[: first.start].strip(" -•*`|"):
            score = _SCORE.match(line, first.end)
            if score and (score["word"] or score["fraction"] or score["of"]):
                made.append((float(score["number"]), first.ids[0], start))
                continue
        if len({number for _, number, _ in made}) == len(made) > 1:
            ordered = sorted(made, key=lambda one: -one[0])
            yield Order(tuple(n for _, n, _ in ordered), STATED, made[0][2], tuple(at for *_, at in made))
        made = []


def _items(
    line: str, tokens: list[Token], swapped: bool, cells: bool
) -> Iterator[tuple[int, tuple[int, ...], bool, tuple[int, int] | None, bool]]:
    """Yield the numbers of a line and the candidates behind them; several, where a list stands in one line.

    With each: whether there is nothing else, the two numbers where either may be the candidate, and whether numbers of lines
    may be in any order, since they are places and stand behind.
    """
    at = 0
    while at + 1 < len(tokens):
        first, second = tokens[at], tokens[at + 1]
        before = line[: first.start] if at == 0 else line[tokens[at - 1].end : first.start]
        gap = line[first.end : second.start]
        ends = tokens[at + 2].start if at + 2 < len(tokens) else len(line)
        after = NOISE.sub(" ", NOTE.sub(" ", line[second.end : ends])).strip(" .,;:-")
        if at == 0 and first.is_strong and len(first.ids) == 1 and second.shape == "bare" and _RANK.search(gap):
            yield second.ids[0], first.ids, not after, None, True  # [3]: rank 1
            return
        if at + 2 < len(tokens) and link(line[second.end : tokens[at + 2].start]) in (">", "<"):
            return
        marked = bool(_NUMBERING.fullmatch(gap)) and gap.strip(" *_`>") != ""
        marked = marked or (cells and gap.strip() in (",", ";") and first.shape == "bare")
        numbering = len(first.ids) == 1 and (not first.is_strong or (marked and second.shape == "label" != first.shape))
        words = len(re.findall(r"[^\W\d_]+", before))
        if at == 0 and (words > 2 or not numbering):
            return
        if (
            second.is_strong
            and numbering
            and (marked or not gap.strip() or re.match(r"\s*[.):]\s", gap))
            and ">" not in gap
        ):
            yield first.ids[0], second.ids, not after, None, False
            at += 2
            continue
        if at == 0 and marked and ">" not in gap and second.shape in ("bare", "paren"):
            pair = (first.ids[0], second.ids[0])
            number, chosen = (pair[1], pair[0]) if swapped else pair
            more = "|" in line or not after
            yield number, (chosen,), more, None if swapped else pair, swapped
            return
        if at == 0:
            return
        at += 1


def _list(items: list[_Item], pairs: list[tuple[int, int]]) -> Iterator[Order]:
    numbers = [number for number, *_ in items]
    if len(pairs) == len(items) > 1 and not _ascends(numbers) and _ascends([second for _, second in pairs]):
        items = [(second, (first,), *item[2:]) for (first, second), item in zip(pairs, items, strict=True)]
        numbers = [number for number, *_ in items]
    if sorted(numbers) not in (list(range(len(items))), list(range(1, len(items) + 1))):
        return
    ordered = sorted(items, key=lambda item: item[0])
    weight = STATED if all(is_pure for *_, is_pure, _ in items) else LISTED
    yield Order(
        tuple(number for _, ids, *_ in ordered for number in ids), weight, items[0][3], tuple(at for *_, at in items)
    )


def _ascends(numbers: list[int]) -> bool:
    return numbers[0] in (0, 1) and all(later == earlier + 1 for earlier, later in pairwise(numbers))


def stacked(lines: list[Line]) -> Iterator[Order]:
    """Yield lists of lines that are a name each, and lists of lines that begin with a bare number and go on in words."""
    alone: list[tuple[int, tuple[int, ...]]] = []
    leading: list[tuple[int, int]] = []
    for start, line, tokens in [*lines, (0, "end", [])]:
        if not line.strip(" -=:|`*"):
            continue
        if line.lstrip().startswith("|") and sum(token.is_strong for token in tokens) == 1:
            alone.append((start, next(token.ids for token in tokens if token.is_strong)))
            continue
        before = NOISE.sub(" ", line[: tokens[0].start]).strip(" -•>#.,") if tokens else ""
        after = NOISE.sub(" ", NOTE.sub(" ", line[tokens[0].end :])).strip(" .,;:>") if tokens else ""
        if len(tokens) == 1 and not after and (not before or (before.endswith(":") and len(before.split()) <= 3)):
            alone.append((start, tokens[0].ids))
            continue
        if len(alone) > 1:
            yield Order(tuple(number for _, ids in alone for number in ids), STATED, alone[0][0])
        alone = []
        if tokens and tokens[0].shape == "bare" and not before and re.match(r"\s*[.):-]", line[tokens[0].end :]):
            leading.append((start, tokens[0].ids[0]))
    if len(leading) > 1 and not _ascends([number for _, number in leading]):
        yield Order(tuple(number for _, number in leading), HINTED, leading[0][0])

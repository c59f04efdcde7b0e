"""Chains of candidates: ``[2] > [1] > [3]``, ``2, 1, 3``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from spaniel_lm.listwise.names import HINTED, LISTED, NOISE, NOTE, STATED, Line, Order, Token, between, link

_SAYS_ORDER = re.compile(
    r"order|rank|final|answer|result|output|sorted|sequence|reihenfolge|rangfolge|antwort|ordre|classement|orden|respuesta|"
    r"порядок|ответ|排序|顺序|答案|順序|順位|결과|순위",
    re.IGNORECASE,
)
_AGAINST = re.compile(
    r"\b(?:not|than|instead of|explanation|reason(?:s|ing)?|because|since|notes?|initial(?:ly)?|original(?:ly)?|example|as in|"
    r"nicht|statt|begründung)\W*$",
    re.IGNORECASE,
)
"""What an order that is not the answer stands behind."""
_ENDS = tuple(":=.!?。：؟।")


def chains(lines: list[Line]) -> Iterator[Order]:
    """Yield runs of names that separators link; one goes on in the next line where a separator stands between."""
    rows = sum(line.lstrip().startswith("|") for _, line, _ in lines)
    for start, text, tokens in _joined(lines):
        at = len(tokens) if rows > 1 and text.lstrip().startswith("|") else 0
        while at < len(tokens):
            end, links = at + 1, []
            while end < len(tokens) and (how := link(text[tokens[end - 1].end : tokens[end].start])):
                if how == "-" and tokens[end - 1].is_strong != tokens[end].is_strong:
                    break  # 9 - [3]
                links.append(how)
                end += 1
            if end - at > 1 or len(tokens[at].ids) > 1:
                yield _chain(start, text, tokens[at - 1].end if at else 0, tokens[at:end], links)
            at = end


def _joined(lines: list[Line]) -> Iterator[Line]:
    held: Line | None = None
    for start, line, tokens in lines:
        if held is not None and tokens:
            before, after = held[1][held[2][-1].end :].strip(" *`"), line[: tokens[0].start].strip(" *`")
            open_ = (before in (">", ",") and not after) or (
                not before and after == ">" and held[1].lstrip()[:1] != ">"
            )
            if open_:
                moved = [
                    replace(one, start=one.start + len(held[1]) + 1, end=one.end + len(held[1]) + 1) for one in tokens
                ]
                held = (held[0], f"{held[1]} {line}", [*held[2], *moved])
                continue
        if held is not None:
            yield held
        held = (start, line, tokens) if tokens else None
    if held is not None:
        yield held


def _chain(start: int, text: str, last: int, tokens: list[Token], links: list[str]) -> Order:
    ids = [number for token in tokens for number in token.ids]
    if links == ["-"] and len(ids) == 2:
        ids = between(ids[0], ids[1])
    else:
        ids = [number for part in _spans(tokens, links) for number in part]
    if links and set(links) == {"<"}:
        ids.reverse()
    before = NOISE.sub(" ", text[last : tokens[0].start]).rstrip()
    after = NOISE.sub(" ", NOTE.sub(" ", text[tokens[-1].end :])).strip()
    opens = (not last and not before.strip(" >#-•")) or before.endswith((*_ENDS, " is", " are", " be"))
    closes = not after or after[0] in ".!?;)。"
    says = opens and not before.endswith((".", "!", "?", "。")) and bool(_SAYS_ORDER.search(before[-60:]))
    if _AGAINST.search(before[-40:]):
        weight = HINTED if not before.endswith(":") else LISTED
    elif ">" in links or "<" in links:
        weight = STATED if (opens and closes) or says else LISTED
    elif opens and closes:
        weight = STATED if says or any(token.is_strong for token in tokens) else LISTED
    else:
        weight = LISTED if says else HINTED
    return Order(tuple(ids), weight, start + tokens[0].start)


def _spans(tokens: list[Token], links: list[str]) -> Iterator[list[int]]:
    """Yield the candidates of tokens; two that a dash links, and no third, are a range."""
    at = 0
    while at < len(tokens):
        dashes = 0
        while at + dashes < len(links) and links[at + dashes] == "-":
            dashes += 1
        if dashes == 1 and len(tokens[at].ids) == len(tokens[at + 1].ids) == 1:
            yield between(tokens[at].ids[0], tokens[at + 1].ids[0])
        else:
            yield from ([*token.ids] for token in tokens[at : at + dashes + 1])
        at += dashes + 1

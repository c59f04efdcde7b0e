"""Orders in the words of language models: chains, lists, tables and JSON.

What states an order outright goes before what mentions candidates in passing; of several that do so alike, the last one.
"""

from __future__ import annotations

import re

from spaniel_lm.listwise import structures
from spaniel_lm.listwise.chains import chains
from spaniel_lm.listwise.cleaning import plain, without_thoughts
from spaniel_lm.listwise.lists import numbered, scored, stacked
from spaniel_lm.listwise.names import HINTED, LISTED, STATED, Order, lines_of

_LARGEST = 50_000
"""Characters from the end of an answer that are read."""


def find_order(text: str, count: int) -> tuple[int, ...]:
    """Return the candidates that a text names, from 1, in the order that it states; empty where it states none."""
    text = plain(without_thoughts(text)[-_LARGEST:])
    found, rest = [], text
    for start, end, ids in structures.find(text):
        found.append(Order(ids, STATED, start))
        rest = rest[:start] + re.sub(r"[^\n]", " ", rest[start:end]) + rest[end:]
    lines = list(lines_of(rest))
    lists = [*numbered(lines), *scored(lines)]
    found += lists
    taken = {at for one in lists for at in one.lines}
    left = [line for line in lines if line[0] not in taken]
    found += [*chains(left), *stacked(left)]
    for weight, share in ((STATED, 2), (LISTED, 1)):
        best = _last([one for one in found if one.weight == weight], count, share)
        if best is not None:
            return best.ids
    strong = tuple(number for _, _, tokens in lines for token in tokens if token.is_strong for number in token.ids)
    if any(1 <= number <= count for number in strong):
        return strong
    best = _last([one for one in found if one.weight == HINTED], count, 1)
    if best is not None:
        return best.ids
    alone = re.fullmatch(r"\d+", rest.strip(" \n.*`"))
    return (int(alone[0][:9]),) if alone else strong


def _last(orders: list[Order], count: int, share: int) -> Order | None:
    """Return the last of those that name at least so large a share of the candidates that the fullest names: all, or half."""
    named = [len({number for number in one.ids if 1 <= number <= count}) for one in orders]
    most = max(named, default=0)
    ranked = [
        (one.at, at) for at, (one, many) in enumerate(zip(orders, named, strict=True)) if many and share * many >= most
    ]
    return orders[max(ranked)[1]] if ranked else None

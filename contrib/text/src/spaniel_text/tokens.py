"""From tokens as text to tokens as numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from spaniel_text.protocol import Tokens


def number(lists: Sequence[Sequence[str]], change: Callable[[list[str]], Iterable[str | None]] | None = None) -> Tokens:
    """Number the tokens of texts.

    Args:
        lists: the tokens of each text.
        change: what becomes of each distinct token, ``None`` for those left out; asked once a token, not once an
            occurrence.
    """
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    ids = np.fromiter(map(numbers.__getitem__, chain.from_iterable(lists)), np.int32, int(lengths.sum()))
    vocabulary = list(numbers)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if change is None:
        return Tokens(offsets, ids, vocabulary)
    changed: dict[str, int] = {}
    table = np.fromiter(
        (-1 if token is None else changed.setdefault(token, len(changed)) for token in change(vocabulary)),
        np.int32,
        len(vocabulary),
    )
    ids = table[ids] if len(ids) else ids
    kept = ids >= 0
    offsets = np.concatenate([[0], np.cumsum(kept)])[offsets].astype(np.int64)
    return Tokens(offsets, ids[kept], list(changed))

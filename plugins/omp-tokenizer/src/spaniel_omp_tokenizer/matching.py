"""Which token of the base stands for which token of the donor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_omp_tokenizer.vocabulary import Key, Vocabulary

Pairs = NDArray[np.int64]
"""``(n, 2)`` int64: ids of the donor, ids of the base."""


@dataclass(frozen=True, eq=False)
class Matching:
    """The donor's tokens in their groups.

    Attributes:
        exact: tokens that both have; these are the anchors.
        folded: tokens that the base reads as one of its own, since it does without capitals or accents.
        bytes: bytes, written as characters by one and as ``<0xHH>`` by the other.
        prefix: tokens whose longest known prefix stands for them.
        new: ids of the donor for which the base has nothing.
        unmapped: special tokens among the new ones, as the donor writes them.
    """

    exact: Pairs
    folded: Pairs
    bytes: Pairs
    prefix: Pairs
    new: NDArray[np.int64]
    unmapped: tuple[str, ...]

    @property
    def copied(self) -> Pairs:
        """All pairs whose vectors are copied."""
        return np.concatenate([self.exact, self.folded, self.bytes, self.prefix])


def match(
    base: Vocabulary,
    donor: Vocabulary,
    *,
    bytes_too: bool = False,
    prefixes: bool = False,
    special: Sequence[str] = (),
    digits: bool = False,
) -> Matching:
    """Find what the base has for each token of the donor: itself, else by folding, by byte, by prefix, else nothing.

    Special tokens match by role, those without a role by their text.

    Args:
        bytes_too: whether bytes match however they are written.
        prefixes: whether the longest known prefix stands for a token.
        special: ``"DONOR -> BASE"`` each, special tokens that stand for each other whatever their roles.
        digits: whether each digit is the base's, with a space before it or without.

    Raises:
        UsageError: ``special`` names a token that is not there.
    """
    named = dict(_named(base, donor, text) for text in special)
    folds = base.lowercases and not donor.lowercases
    exact, folded, byte, prefix, new, unmapped = [], [], [], [], [], []
    for number in sorted(donor.keys):
        key = donor.keys[number]
        found = named.get(number, _find(base, donor, number, key, digits))
        if found is not None:
            exact.append((number, found))
        elif folds and (found := _fold(base, key)) is not None:
            folded.append((number, found))
        elif bytes_too and (found := _byte(base, key)) is not None:
            byte.append((number, found))
        elif prefixes and (found := _prefix(base, key)) is not None:
            prefix.append((number, found))
        else:
            new.append(number)
            if key.sort == "special":
                unmapped.append(donor.written[number])
    kept, like, coded, longest = (np.array(g, np.int64).reshape(-1, 2) for g in (exact, folded, byte, prefix))
    return Matching(kept, like, coded, longest, np.array(new, np.int64), tuple(unmapped))


def _named(base: Vocabulary, donor: Vocabulary, text: str) -> tuple[int, int]:
    ours, arrow, theirs = (part.strip() for part in text.partition("->"))
    if not arrow:
        raise UsageError(f"special={text!r}: write the donor's token, an arrow and the base's, as in '<s> -> [CLS]'")
    ids = []
    for who, vocabulary, token in (("donor", donor, ours), ("base", base, theirs)):
        found = {written: number for number, written in vocabulary.written.items()}.get(token)
        if found is None:
            raise UsageError(f"special={text!r}: the {who} has no token {token!r}")
        ids.append(found)
    return ids[0], ids[1]


def _find(base: Vocabulary, donor: Vocabulary, number: int, key: Key, digits: bool) -> int | None:
    if key.sort == "special":
        for role in donor.roles_of(number):
            if (found := base.role(role)) is not None:
                return found
        return base.index.get(Key("special", donor.written[number]))
    if digits and len(key.text) == 1 and key.text.isdecimal():
        return base.index.get(Key("raw", key.text), base.index.get(key))
    return base.index.get(key)


def _fold(base: Vocabulary, key: Key) -> int | None:
    """Return what the base's own normaliser makes of a token."""
    if key.sort not in ("word", "raw"):
        return None
    normaliser = base.tokenizer.backend_tokenizer.normalizer
    return base.index.get(Key(key.sort, normaliser.normalize_str(key.text)))


def _byte(base: Vocabulary, key: Key) -> int | None:
    if key.sort == "bytes" and len(key.text) == 2:
        value = int(key.text, 16)
        return base.index.get(Key("raw", chr(value))) if value < 0x80 else None
    raw = key.plain.encode()
    if key.sort in ("word", "raw") and len(raw) == 1:
        return base.index.get(Key("bytes", raw.hex()))
    return None


def _prefix(base: Vocabulary, key: Key) -> int | None:
    if key.sort not in ("word", "raw"):
        return None
    for end in range(len(key.text) - 1, 0, -1):
        if not key.text[:end].strip():
            return None
        found = base.index.get(Key(key.sort, key.text[:end]))
        if found is not None:
            return found
    return None

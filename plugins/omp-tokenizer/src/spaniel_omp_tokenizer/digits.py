"""How tokenizers split numbers, which is what arithmetic hangs on."""

from __future__ import annotations

from dataclasses import dataclass

from spaniel_omp_tokenizer.vocabulary import Vocabulary

PROBES = (*map(str, range(10)), "12", "123", "1234", "12345", "1234567")


@dataclass(frozen=True)
class Scheme:
    """How numbers are split.

    Attributes:
        name: ``single`` digits, ``groups`` of three from the left, ``groups from the right``, or ``merges`` as they come.
        pieces: probe → the number of digits in each of its pieces.
    """

    name: str
    pieces: dict[str, tuple[int, ...]]


def scheme_of(vocabulary: Vocabulary) -> Scheme:
    """Split probes, each with a space before it and without."""
    pieces = {text: _lengths(vocabulary, text) for probe in PROBES for text in (probe, f" {probe}")}
    split = {probe: pieces[probe] for probe in PROBES}

    def groups(text: str, first: int) -> tuple[int, ...]:
        head = (first,) if first else ()
        rest = len(text) - first
        return (*head, *[3] * (rest // 3), *([rest % 3] if rest % 3 else []))

    if all(lengths == (1,) * len(text) for text, lengths in split.items()):
        return Scheme("single", pieces)
    if all(lengths == groups(text, 0) for text, lengths in split.items()):
        return Scheme("groups", pieces)
    if all(lengths == groups(text, len(text) % 3) for text, lengths in split.items()):
        return Scheme("groups from the right", pieces)
    return Scheme("merges", pieces)


def differences(base: Scheme, donor: Scheme) -> dict[str, dict[str, list[int]]]:
    """Return the probes that are split differently, with the digits of each piece."""
    return {
        probe: {"base": list(lengths), "donor": list(donor.pieces[probe])}
        for probe, lengths in base.pieces.items()
        if lengths != donor.pieces[probe]
    }


def _lengths(vocabulary: Vocabulary, text: str) -> tuple[int, ...]:
    keys = [vocabulary.keys.get(number) for number in vocabulary.split(text)]
    counts = (sum(letter.isdecimal() for letter in key.text) if key is not None else 0 for key in keys)
    return tuple(count for count in counts if count)

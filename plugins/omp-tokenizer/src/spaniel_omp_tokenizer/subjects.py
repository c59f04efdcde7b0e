"""What the headline check works on: two real models each way, and what changes between its arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spaniel import Context
from torch import Tensor

from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.framing import Prepared, prepare
from spaniel_omp_tokenizer.layout import Layout, read_layout, read_tokenizer
from spaniel_omp_tokenizer.matching import match
from spaniel_omp_tokenizer.rebuilding import Exchange, rebuild
from spaniel_omp_tokenizer.vocabulary import Vocabulary, read_vocabulary


@dataclass(eq=False)
class Subject:
    """A base and a donor, read once.

    Attributes:
        base: vocabulary of the base.
        donor: vocabulary of the donor.
        own: the base's input matrix.
        theirs: the donor's.
        layouts: of base and donor; ``None`` for a donor that is no folder.
    """

    base: Vocabulary
    donor: Vocabulary
    own: Tensor
    theirs: Tensor
    layouts: tuple[Layout, Layout | None]

    def exchange(self, used: Sequence[int] | None = None, digits: bool = False) -> tuple[Exchange, Prepared]:
        """Return what matrices are rebuilt from, and the tokenizer.

        Args:
            used: the donor's ids that are needed; by default all.
            digits: whether single digits are kept.
        """
        matching = match(self.base, self.donor, digits=digits)
        if used is not None:
            matching = replace(matching, new=np.intersect1d(matching.new, np.asarray(used)))
        rows = max(self.donor.size, len(self.donor.tokenizer))
        made = prepare(self.base, self.donor, rows, frame=not self.layouts[0].is_causal, single_digits=digits)
        whole = rows + len(made.added)
        return Exchange(self.base, self.donor, matching, matching.exact, frozenset(), whole), made

    def matrix(self, context: Context, config: OmpTokenizerConfig, exchange: Exchange, made: Prepared) -> Tensor:
        """Return the rebuilt input matrix."""
        new, _, _ = rebuild(context, config, exchange, self.own, None, self.theirs, "input")
        for row, number in made.added:
            new[row] = self.own[number]
        return new


def read_subject(base: Path, donor: Path) -> Subject:
    """Read two models' folders."""
    layouts = read_layout(base), read_layout(donor)
    own, theirs = (layout.read(layout.inputs[0]) for layout in layouts)
    vocabularies = [
        read_vocabulary(read_tokenizer(layout.folder), len(matrix))
        for layout, matrix in zip(layouts, (own, theirs), strict=True)
    ]
    return Subject(vocabularies[0], vocabularies[1], own, theirs, layouts)


def pruned(subject: Subject, texts: Sequence[str], pieces: int) -> Subject:
    """Return a subject whose donor, a WordPiece tokenizer, keeps only what some texts are most often split into.

    Special tokens, single characters of the texts and numbers up to 99 stay in any case.
    """
    import json

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast as _Fast

    fast: Any = _Fast  # its constructor has no types
    donor = subject.donor
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(donor.split(text))
    letters = {letter for text in texts for letter in text.lower()}
    kept = set(donor.roles.values()) | {number for number, _ in counts.most_common(pieces)}
    kept |= {
        number
        for number, key in donor.keys.items()
        if key.sort in ("word", "raw") and (key.text in letters or (key.text.isdecimal() and len(key.text) <= 2))
    }
    order = sorted(kept)
    said = json.loads(donor.tokenizer.backend_tokenizer.to_str())
    places = {donor.written[number]: place for place, number in enumerate(order)}
    said["model"]["vocab"] = places
    for token in said["added_tokens"]:
        token["id"] = places[token["content"]]
    for token in said["post_processor"]["special_tokens"].values():
        token["ids"] = [places[token["id"]]]
    roles = {f"{role}_token": donor.written[number] for role, number in donor.roles.items()}
    fewer = fast(tokenizer_object=Tokenizer.from_str(json.dumps(said)), **roles)
    return Subject(
        subject.base,
        read_vocabulary(fewer),
        subject.own,
        subject.theirs[torch.tensor(order)],
        (subject.layouts[0], None),
    )


def plain_texts(tokenizer: Any, texts: Sequence[str], words: int) -> list[str]:
    """Return the first words of texts as a WordPiece tokenizer reads them, each with a space before it.

    So two tokenizers are compared on the same bytes. Texts with fewer words are left out.
    """
    raw = tokenizer.backend_tokenizer
    made = []
    for text in texts:
        parts = [part for part, _ in raw.pre_tokenizer.pre_tokenize_str(raw.normalizer.normalize_str(text))][:words]
        if len(parts) == words and all(part.isascii() for part in parts):
            made.append("".join(f" {part}" for part in parts))
    return made

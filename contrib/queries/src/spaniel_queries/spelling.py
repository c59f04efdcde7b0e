"""Spelling: words that no document has become the nearest that documents have."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rapidfuzz import process
from rapidfuzz.distance import OSA
from spaniel import Corpus, Queries, Run
from spaniel.data.texts.passages import is_unspaced
from spaniel.store import Need

from spaniel_queries import config as options
from spaniel_queries.vocabulary import Vocabulary, open_vocabulary, vocabulary_need

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer


class Speller:
    """Finds the nearest words of a vocabulary.

    Words are compared as canonically decomposed letters, so that a wrong accent, vowel sign or part of a Hangul syllable
    is one change. Of words equally near, the one in most documents is taken, then the first in the alphabet.

    Args:
        vocabulary: the words that may be right.
        distance: changes of a word at the most; ``None`` goes by its length.
        prefix: letters that are taken for right.
        least: documents that a word must be in.
    """

    def __init__(self, vocabulary: Vocabulary, distance: int | None = None, prefix: int = 1, least: int = 1) -> None:
        self.vocabulary = vocabulary
        self.distance, self.prefix, self.least = distance, prefix, least
        self._groups: dict[tuple[str, int], tuple[list[str], list[int]]] = {}
        for number, (word, count) in enumerate(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)):
            if count >= least and not is_unspaced(word):
                form = unicodedata.normalize("NFD", word)
                forms, numbers = self._groups.setdefault((form[:prefix], len(form)), ([], []))
                forms.append(form)
                numbers.append(number)

    def correct(self, word: str) -> str:
        """Return the word, or the nearest one where no document has it."""
        if self.vocabulary.count(word) >= self.least or is_unspaced(word) or any(c.isdigit() for c in word):
            return word
        form = unicodedata.normalize("NFD", word)
        most = (0 if len(form) < 4 else 1 if len(form) < 8 else 2) if self.distance is None else self.distance
        best: tuple[int, int, str] | None = None
        for length in range(max(1, len(form) - most), len(form) + most + 1) if most else ():
            forms, numbers = self._groups.get((form[: self.prefix], length), ([], []))
            limit = most if best is None else best[0]
            for _, distance, at in process.extract(form, forms, scorer=OSA.distance, score_cutoff=limit, limit=None):
                found = self.vocabulary.words[numbers[at]]
                key = (int(distance), -int(self.vocabulary.counts[numbers[at]]), found)
                best = key if best is None or key < best else best
        return word if best is None else best[2]


class Spelling:
    """Corrects the words of queries by the vocabulary of the corpus."""

    def __init__(self, config: options.Spelling, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The vocabulary."""
        return [vocabulary_need(self.context, self.config.analyzer, corpus)]

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Queries:
        """Return the queries with their words corrected; what stands between words stays."""
        need = vocabulary_need(self.context, self.config.analyzer, corpus.need)
        analyzer: Analyzer = self.context.create("analyzer", self.config.analyzer)
        config = self.config
        speller: Speller = self.context.open(
            need,
            f"speller {config.distance} {config.prefix} {config.least}",
            lambda _: Speller(
                open_vocabulary(self.context, config.analyzer, corpus.need),
                config.distance,
                config.prefix,
                config.least,
            ),
        )
        changed = [0]
        texts = tuple(self._correct(text, analyzer, speller, changed) for text in queries.texts)
        self.context.count("words corrected", changed[0])
        return replace(queries, texts=texts)

    def _correct(self, text: str, analyzer: Analyzer, speller: Speller, changed: list[int]) -> str:
        made, end = [], 0
        for term, start, stop in analyzer.spans(text):
            right = speller.correct(term)
            if right == term or start < end:
                continue
            made += [text[end:start], _cased(right, text[start:stop])]
            end = stop
            changed[0] += 1
        return "".join([*made, text[end:]])


def _cased(word: str, like: str) -> str:
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word

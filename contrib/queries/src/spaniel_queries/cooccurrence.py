"""Which words documents use together: an artifact, and expansion by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Corpus, Queries, Run
from spaniel.data import Variants
from spaniel.indexing import open_corpus
from spaniel.store import Artifact, Draft, Need, Recipe

from spaniel_queries import config as options
from spaniel_queries.version import VERSION
from spaniel_queries.vocabulary import BATCH, read_array, read_words

if TYPE_CHECKING:
    from spaniel import Context, Expression
    from spaniel_text.protocol import Analyzer

Measure = Literal["log-likelihood", "pmi"]


@dataclass(frozen=True, eq=False)
class Incidence:
    """Which documents have which words.

    Attributes:
        words: the distinct words, ascending.
        offsets: ``(documents + 1,)``; the words of document ``d`` are ``entries[offsets[d]:offsets[d + 1]]``, ascending.
        entries: positions in ``words``.
    """

    words: list[str]
    offsets: NDArray[np.int64]
    entries: NDArray[np.int64]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Word → its position."""
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Number of documents that have each word."""
        return np.bincount(self.entries, minlength=len(self.words)).astype(np.int64)

    @cached_property
    def _postings(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        owners = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        order = np.argsort(self.entries, kind="stable")
        return np.concatenate([[0], np.cumsum(self.counts)]), owners[order]

    def together(self, word: int) -> NDArray[np.int64]:
        """Return how many documents have both a word and each other: ``(words,)``."""
        begins, owners = self._postings
        documents = owners[begins[word] : begins[word + 1]]
        lengths = np.diff(self.offsets)[documents]
        starts = np.cumsum(lengths) - lengths
        places = np.arange(int(lengths.sum())) + np.repeat(self.offsets[:-1][documents] - starts, lengths)
        return np.bincount(self.entries[places], minlength=len(self.words)).astype(np.int64)

    def association(self, word: int, measure: Measure, least: int) -> NDArray[np.float64]:
        """Return how strongly each word belongs to another: ``(words,)``, 0 where it does not, or rarely occurs with it."""
        n = float(len(self.offsets) - 1)
        both, mine, theirs = (
            self.together(word).astype(np.float64),
            float(self.counts[word]),
            self.counts.astype(np.float64),
        )
        expected = mine * theirs / n
        kept = (both >= least) & (both > expected)
        with np.errstate(divide="ignore", invalid="ignore"):
            if measure == "pmi":
                found = np.log(both / expected)
            else:
                cells = (
                    (both, expected),
                    (mine - both, mine - expected),
                    (theirs - both, theirs - expected),
                    (n - mine - theirs + both, (n - mine) * (n - theirs) / n),
                )
                parts = [np.where(seen > 0, seen * np.log(seen / wanted), 0.0) for seen, wanted in cells]
                found = 2 * np.add.reduce(parts)
        return np.where(kept, found, 0.0)


def incidence_need(context: Context, analyzer: Expression, most: int, corpus: Need) -> Need:
    """Name the words of the documents of a corpus, of at most ``most`` documents spread evenly over it."""
    bound = context.bind("analyzer", analyzer)
    made: Analyzer = context.make(bound)

    def build(draft: Draft) -> None:
        documents: Corpus = open_corpus(context, corpus)
        size = min(most, len(documents))
        rows = np.arange(size) * len(documents) // max(1, size)
        advance = draft.progress(size, "documents")
        numbers: dict[str, int] = {}
        lists: list[NDArray[np.int64]] = []
        for start in range(0, size, BATCH):
            tokens = made.analyze(documents.contents(rows[start : start + BATCH]))
            here = np.array([numbers.setdefault(word, len(numbers)) for word in tokens.vocabulary], np.int64)
            lists += [
                np.unique(here[tokens.ids[a:b]]) for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)
            ]
            advance(len(tokens))
        words = sorted(numbers)
        place = np.empty(len(words), np.int64)
        place[[numbers[word] for word in words]] = np.arange(len(words))
        ordered = [np.sort(place[one]) for one in lists]
        draft.file("words.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in ordered])]).astype(np.int64)
        np.save(draft.file("offsets.npy"), offsets, allow_pickle=False)
        entries = np.concatenate([np.empty(0, np.int64), *ordered]).astype(np.int32)
        np.save(draft.file("entries.npy"), entries, allow_pickle=False)

    config = {"analyzer": bound.description, "fingerprint": dict(made.fingerprint()), "documents": most}
    recipe = Recipe(
        "cooccurrence", "spaniel-queries/cooccurrence", VERSION, config, None, {"corpus": corpus.recipe.address}
    )
    return Need(recipe, build, (corpus,))


def _read(artifact: Artifact) -> Incidence:
    words = read_words(artifact, "words.json")
    entries = read_array(artifact, "entries.npy", -1, len(words) - 1)
    offsets = read_array(artifact, "offsets.npy", -1, len(entries))
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(entries) or (np.diff(offsets) < 0).any():
        raise ArtifactError(artifact.path, "holds offsets that do not fit; remove it and build it again")
    return Incidence(words, offsets, entries)


class Cooccurrence:
    """Adds to a query the words with the greatest sum of associations with its own; for the next stage alone."""

    def __init__(self, config: options.Cooccurrence, context: Context) -> None:
        self.config = config
        self.context = context

    def needs(self, corpus: Need) -> Sequence[Need]:
        """Which documents have which words."""
        return [incidence_need(self.context, self.config.analyzer, self.config.documents, corpus)]

    def rewrite(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Variants:
        """Return the queries with words added."""
        analyzer: Analyzer = self.context.create("analyzer", self.config.analyzer)
        incidence: Incidence = self.context.open(self.needs(corpus.need)[0], "incidence", _read)
        return Variants.from_lists(
            [
                [expanded(text, self._words(terms, incidence), self.config.repeat)]
                for text, terms in zip(queries.texts, analyzer.analyze(queries.texts).lists(), strict=True)
            ]
        )

    def _words(self, terms: Sequence[str], incidence: Incidence) -> list[str]:
        config = self.config
        common = incidence.counts > max(1.0, config.share * (len(incidence.offsets) - 1))
        own = sorted({incidence.numbers[term] for term in terms if term in incidence.numbers})
        total = np.zeros(len(incidence.words))
        for word in own:
            if not common[word]:
                total += incidence.association(word, config.measure, config.least)
        total[common] = 0
        total[own] = 0
        # Words are in alphabetical order, which decides among equals.
        best = np.argsort(-total, kind="stable")[: config.terms]
        return [incidence.words[word] for word in best if total[word] > 0]


def expanded(text: str, words: Sequence[str], repeat: int) -> str:
    """Return a query, so many times, with words behind it; where there are none, as it is."""
    return " ".join([*[text] * repeat, *words]) if words else text

"""The words of a corpus with the number of documents that have each: an artifact."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Corpus, Expression
from spaniel.indexing import open_corpus
from spaniel.store import Artifact, Draft, Need, Recipe

from spaniel_queries.version import VERSION

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer, Tokens

BATCH = 2000
"""Documents read at once."""
_WORDS, _COUNTS = "words.json", "documents.npy"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words in alphabetical order.

    Attributes:
        words: the distinct words, as the analyzer gives them.
        counts: ``(words,)`` int64, the number of documents that have each.
        documents: how many documents there are.
    """

    words: list[str]
    counts: NDArray[np.int64]
    documents: int

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Word → its position."""
        return {word: number for number, word in enumerate(self.words)}

    def count(self, word: str) -> int:
        """Return how many documents have a word."""
        number = self.numbers.get(word)
        return 0 if number is None else int(self.counts[number])


def vocabulary_need(context: Context, analyzer: Expression, corpus: Need) -> Need:
    """Name the vocabulary of a corpus under an analyzer."""
    bound = context.bind("analyzer", analyzer)
    made: Analyzer = context.make(bound)

    def build(draft: Draft) -> None:
        documents: Corpus = open_corpus(context, corpus)
        advance = draft.progress(len(documents), "documents")
        counts: dict[str, int] = {}
        for batch in documents.batches(BATCH):
            tokens = made.analyze([document.contents for document in batch.documents])
            for word, number in zip(tokens.vocabulary, distinct_counts(tokens).tolist(), strict=True):
                counts[word] = counts.get(word, 0) + number
            advance(len(batch.documents))
        words = sorted(counts)
        draft.file(_WORDS).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        np.save(draft.file(_COUNTS), np.array([counts[word] for word in words], np.int64), allow_pickle=False)
        draft.info["documents"] = len(documents)

    config = {"analyzer": bound.description, "fingerprint": dict(made.fingerprint())}
    recipe = Recipe(
        "vocabulary", "spaniel-queries/vocabulary", VERSION, config, None, {"corpus": corpus.recipe.address}
    )
    return Need(recipe, build, (corpus,))


def open_vocabulary(context: Context, analyzer: Expression, corpus: Need) -> Vocabulary:
    """Obtain the vocabulary of a corpus, opened once in a session.

    Raises:
        ArtifactError: it is damaged.
    """
    made: Vocabulary = context.open(vocabulary_need(context, analyzer, corpus), "vocabulary", _read)
    return made


def distinct_counts(tokens: Tokens) -> NDArray[np.int64]:
    """Return for each word of some texts how many of the texts have it: ``(vocabulary,)``."""
    size = max(1, len(tokens.vocabulary))
    owners = np.repeat(np.arange(len(tokens), dtype=np.int64), np.diff(tokens.offsets))
    words = np.unique(owners * size + tokens.ids) % size
    return np.bincount(words, minlength=len(tokens.vocabulary)).astype(np.int64)


def read_words(artifact: Artifact, name: str) -> list[str]:
    """Read a list of words that an artifact holds, in ascending order."""
    try:
        words = json.loads(artifact.file(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(artifact.file(name), f"cannot be read ({error}); remove it and build it again") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or words != sorted(set(words)):
        raise ArtifactError(artifact.file(name), "holds no words in order; remove it and build it again")
    return words


def read_array(artifact: Artifact, name: str, size: int, most: int) -> NDArray[np.int64]:
    """Read whole numbers from 0 to ``most`` that an artifact holds: ``(size,)``, or any number where ``size`` is -1."""
    where = artifact.file(name)
    try:
        values: NDArray[np.int64] = np.load(where, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(where, f"cannot be read ({error}); remove it and build it again") from error
    fits = values.ndim == 1 and values.dtype.kind == "i" and size in (-1, len(values))
    if not fits or (len(values) and not 0 <= values.min() <= values.max() <= most):
        raise ArtifactError(where, "does not hold the numbers that it should; remove it and build it again")
    return values


def _read(artifact: Artifact) -> Vocabulary:
    documents = artifact.info.get("documents")
    if type(documents) is not int or documents < 0:
        raise ArtifactError(artifact.path, "does not say how many documents there are; remove it and build it again")
    words = read_words(artifact, _WORDS)
    return Vocabulary(words, read_array(artifact, _COUNTS, len(words), documents), documents)

"""What a cross-encoder learns from: groups of a query, a right document, and documents that are easily taken for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Qrels, Queries, Run, UsageError
from spaniel.data.texts.passages import count_words

HELD_OUT = 5
"""One of so many queries is held out of the training, to choose the weight."""
_SENTENCE = re.compile(r"(?<=[.!?।॥؟۔။።])\s+|(?<=[。！？])\s*(?=\S)|\n{2,}")
_WORDS = 5
"""Words of a sentence that stands for a query, at the least."""
_KEPT = 0.1
"""Share of the texts that keep the sentence, so that exact matches are learned, too (Lee et al., 2019, section 4)."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Training groups.

    Attributes:
        queries: text of the query of each group.
        positives: text of its right document.
        candidates: ``(groups, depth)`` int64, rows of documents that are wrong for it, -1 where there are fewer.
    """

    queries: Sequence[str]
    positives: Sequence[str]
    candidates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.queries)

    def negatives(self, count: int, documents: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw wrong documents, ``(groups, count)``, of a corpus of so many; at random where there are too few."""
        keys = np.where(self.candidates >= 0, rng.random(self.candidates.shape), np.inf)
        keys = np.pad(keys, ((0, 0), (0, count)), constant_values=np.inf)
        rows = np.pad(self.candidates, ((0, 0), (0, count)), constant_values=-1)
        drawn = np.take_along_axis(rows, np.argsort(keys, axis=1)[:, :count], axis=1)
        return np.where(drawn >= 0, drawn, rng.integers(0, documents, drawn.shape))


def split_queries(queries: Queries, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the queries to learn from, and of those that are held out."""
    order = rng.permutation(len(queries))
    held = len(queries) // HELD_OUT
    return np.sort(order[held:]), np.sort(order[:held])


def labelled_groups(queries: Queries, qrels: Qrels, corpus: Corpus, run: Run) -> Groups:
    """Make a group of each pair that is judged relevant; wrong are the retrieved documents that are not.

    Raises:
        UsageError: no judged document is in the corpus.
    """
    texts: list[str] = []
    rights: list[int] = []
    owners: list[int] = []
    excluded: list[NDArray[np.int32]] = []
    for position, name in enumerate(queries.ids):
        rows = np.unique(corpus.rows(qrels.relevant(name)))
        rows = rows[rows >= 0]
        excluded.append(rows)
        texts += [queries.texts[position]] * len(rows)
        rights += rows.tolist()
        owners += [position] * len(rows)
    if not rights:
        raise UsageError("there is nothing to learn from: no judged document is in the corpus")
    wrong = _others(run, excluded)
    return Groups(texts, corpus.contents(rights), wrong[owners])


def sentence_groups(corpus: Corpus, count: int, rng: np.random.Generator) -> tuple[Queries, list[str], list[int]]:
    """Take sentences out of documents: the inverse cloze task of Lee, Chang and Toutanova (ORQA), ACL 2019, section 4.

    Returns:
        the sentences as queries, the text that each was taken from, mostly without it, and the row of that document.

    Raises:
        UsageError: no document has two sentences.
    """
    sentences: list[str] = []
    rests: list[str] = []
    rows: list[int] = []
    for row in rng.permutation(len(corpus)).tolist():
        if len(rows) == count:
            break
        document = corpus.documents([row])[0]
        parts = [" ".join(part.split()) for part in _SENTENCE.split(document.text)]
        fit = [number for number, part in enumerate(parts) if count_words(part) >= _WORDS]
        if not fit or len(parts) < 2:
            continue
        chosen = fit[int(rng.integers(len(fit)))]
        kept = rng.random() < _KEPT
        rest = [part for number, part in enumerate(parts) if kept or number != chosen]
        sentences.append(parts[chosen])
        rests.append(" ".join([document.title, *rest]).strip())
        rows.append(row)
    if not rows:
        raise UsageError("there is nothing to learn from: no document of the corpus has two sentences")
    return Queries.from_lists([str(number) for number in range(len(rows))], sentences), rests, rows


def unlabelled_groups(queries: Queries, rests: Sequence[str], rows: Sequence[int], run: Run) -> Groups:
    """Make a group of each sentence; wrong are the documents retrieved for it but the one that it was taken from."""
    return Groups(list(queries.texts), list(rests), _others(run, [np.array([row], np.int32) for row in rows]))


def _others(run: Run, excluded: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Return the rows of each list, the excluded ones left out: ``(queries, depth)`` int64, filled up with -1."""
    width = 1 + max((int(run.rows.max()) if len(run.rows) else 0, *(int(e.max(initial=0)) for e in excluded)))
    keys = np.concatenate([number * width + rows for number, rows in enumerate(excluded)])
    keep = ~np.isin(run.owners * width + run.rows, keys)
    counts = np.bincount(run.owners[keep], minlength=len(run))
    filled = np.full((len(run), int(counts.max(initial=0))), -1, np.int64)
    filled[np.arange(filled.shape[1]) < counts[:, None]] = run.rows[keep]
    return filled

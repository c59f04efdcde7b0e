"""The components for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spaniel.data import Corpus, FolderDataset, Queries, Run
from spaniel.errors import UsageError
from spaniel.indexing import open_corpus
from spaniel.rerank import PointwiseReranker

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.store import Need
    from spaniel.testing.oracles import config as options


class Call(NamedTuple):
    """The pairs that a scorer was asked for at once."""

    queries: tuple[str, ...]
    texts: tuple[str, ...]


class Grades:
    """Grades of a collection by text: of the query, and of the document."""

    def __init__(self, config: options.Oracle, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def known(self) -> dict[str, dict[str, float]]:
        """Text of a query → contents of a document → grade; negative grades are 0."""
        dataset = FolderDataset(self.config.data, store=self.context.store)
        queries, qrels = dataset.queries(self.config.split), dataset.qrels(self.config.split)
        corpus = open_corpus(self.context, dataset.documents())
        found: dict[str, dict[str, float]] = {}
        for name, text in zip(queries.ids, queries.texts, strict=True):
            gains = qrels.gains(name)
            rows = corpus.rows(list(gains))
            held = rows[rows >= 0]
            grades = [grade for row, grade in zip(rows, gains.values(), strict=True) if row >= 0]
            found[text] = dict(zip(corpus.contents(held), grades, strict=True))
        return found

    def score(self, query: str, text: str) -> float:
        """Return the grade of a pair, 0 where it is not judged, with the pair's own noise."""
        if query not in self.known:
            raise UsageError(f"the oracle of {self.config.data} does not know the query {query!r}")
        grade = float(self.known[query].get(text, 0))
        if not self.config.noise:
            return grade
        return grade + self.config.noise * float(self.context.rng("oracle", query, text).normal())


class Oracle(PointwiseReranker):
    """Scores pairs by their grades."""

    def __init__(self, config: options.Oracle, context: Context) -> None:
        super().__init__(config, context)
        self.grades = Grades(config, context)

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Score pairs: ``(n,)`` float32.

        Raises:
            UsageError: a query is none of the collection's.
        """
        pairs = zip(queries, texts, strict=True)
        return np.array([self.grades.score(query, text) for query, text in pairs], np.float32)


class OracleRetriever:
    """Retrieves every document with a grade above 0, and with noise those whose noise lifts them there."""

    def __init__(self, config: options.OracleRetriever, context: Context) -> None:
        self.config = config
        self.grades = Grades(config, context)

    def needs(self, corpus: Need) -> Sequence[Need]:
        """Nothing but the corpus."""
        return ()

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return the documents whose score is above 0, the highest first.

        Raises:
            UsageError: a query is none of the collection's.
        """
        contents = corpus.contents(range(len(corpus)))
        lists = []
        for query in queries.texts:
            scores = [self.grades.score(query, text) for text in contents]
            lists.append([(row, score) for row, score in enumerate(scores) if score > 0])
        return Run.from_lists(lists).cut(self.config.k)


class Spy(PointwiseReranker):
    """Scores as another reranker does; ``calls`` holds what was asked, in order."""

    def __init__(self, config: options.Spy, context: Context) -> None:
        super().__init__(config, context)
        self.calls: list[Call] = []

    @property
    def pairs(self) -> int:
        """How many pairs were scored so far."""
        return sum(len(call.texts) for call in self.calls)

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Score pairs: ``(n,)`` float32."""
        self.calls.append(Call(tuple(queries), tuple(texts)))
        scores: np.ndarray = self.context.create("rerank", self.config.scorer).score(queries, texts)
        return scores


class Failing(PointwiseReranker):
    """Raises a RuntimeError once more than ``after`` pairs have been asked for."""

    def __init__(self, config: options.Failing, context: Context) -> None:
        super().__init__(config, context)
        self.asked = 0

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Score pairs with 0, or fail."""
        self.asked += len(texts)
        if self.asked > self.config.after:
            raise RuntimeError(f"this reranker fails after {self.config.after} pairs, as it was told to")
        return np.zeros(len(texts), np.float32)

"""Reranking whole lists."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel.data import Corpus, Queries, Run
from spaniel.observe import loaded_property
from spaniel.recent import Recent

from spaniel_mvp.config import MvpConfig

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_neural.content import ContentCache

    from spaniel_mvp.loading import Loaded
    from spaniel_mvp.scoring import Views

_PAIRS = 8192
"""Pairs whose relevance vectors are held at once, about: whole lists are taken until there are so many."""
_REMEMBERED = 1000


class Mvp:
    """Ranks each list as a whole: one pass of the encoder a passage, one decoding step a list.

    The scores of a list are comparable with each other, not with those of another list.

    Attributes:
        listed: query → rows of the list that was reranked for it last, for explanations.
    """

    def __init__(self, config: MvpConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.listed: Recent[str, NDArray[np.int32]] = Recent(_REMEMBERED)

    @loaded_property
    def loaded(self) -> Loaded:
        """The model, loaded on first use."""
        from spaniel_mvp.loading import load
        from spaniel_mvp.settings import with_aggregate

        made = load(self.context, self.config)
        with_aggregate(made.model.settings, self.config.aggregate)
        return made

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        """Return the first ``k`` documents of each list in the order of their scores."""
        head = run.cut(self.config.k)
        scores = np.empty(len(head.rows), np.float32)
        start = 0
        while start < len(head):
            stop = max(start + 1, int(np.searchsorted(head.offsets, head.offsets[start] + _PAIRS, "right")) - 1)
            part = slice(int(head.offsets[start]), int(head.offsets[stop]))
            texts = self.texts(corpus, head.rows[part])
            lengths = head.lengths[start:stop].tolist()
            made = self.score_lists(list(queries.texts[start:stop]), texts, lengths)
            scores[part] = np.concatenate([np.empty(0, np.float32), *made])
            for query in range(start, stop):
                self.listed[queries.texts[query]] = head.of(query)[0]
            self.context.advance(stop - start)
            start = stop
        return Run.build(head.offsets, head.rows, scores)

    def score_lists(
        self, queries: Sequence[str], texts: Sequence[str], lengths: Sequence[int]
    ) -> list[NDArray[np.float32]]:
        """Return the scores of lists.

        Args:
            queries: one a list.
            texts: of all lists, one list after the other.
            lengths: passages of each list.
        """
        if not len(texts):
            return [np.empty(0, np.float32) for _ in queries]
        return self.score_vectors(self.relevance(_repeated(queries, lengths), texts), lengths)

    def score_vectors(self, relevance: NDArray[np.float32], lengths: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return the scores of lists whose passages were read, ``(all passages, views, dimensions)``."""
        import torch

        from spaniel_mvp.model import aggregate
        from spaniel_mvp.scoring import score_lists
        from spaniel_mvp.settings import with_aggregate

        how = with_aggregate(self.loaded.model.settings, self.config.aggregate)
        made = score_lists(self.context, self.loaded, relevance, lengths)
        return [aggregate(torch.from_numpy(one.scores)[None], how)[0].numpy() for one in made]

    def views(
        self, queries: Sequence[str], texts: Sequence[str], lengths: Sequence[int], attention: bool = False
    ) -> list[Views]:
        """Return the views of lists: scores, anchors and, where it is asked for, what these attend to."""
        from spaniel_mvp.scoring import score_lists

        relevance = self.relevance(_repeated(queries, lengths), texts)
        return score_lists(self.context, self.loaded, relevance, lengths, attention)

    def relevance(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the relevance vectors of pairs, ``(pairs, views, dimensions)`` float32; kept in the store if so asked."""
        from spaniel_mvp.scoring import encode_pairs

        if not self.config.cache:
            return encode_pairs(self.context, self.loaded, queries, texts)
        from spaniel_neural.content import content_keys

        pairs = list(zip(queries, texts, strict=True))

        def compute(places: NDArray[np.int64]) -> NDArray[np.float32]:
            chosen = [pairs[place] for place in places.tolist()]
            return encode_pairs(self.context, self.loaded, [q for q, _ in chosen], [t for _, t in chosen])

        made: NDArray[np.float32] = self._kept.rows(content_keys(pairs), compute).all()
        return made

    def texts(self, corpus: Corpus, rows: Sequence[int] | NDArray[np.int32]) -> list[str]:
        """Return what is read of documents."""
        if self.config.title:
            return corpus.contents(rows)
        return [document.text for document in corpus.documents(rows)]

    @cached_property
    def _kept(self) -> ContentCache:
        from dataclasses import asdict

        from spaniel_neural.content import ContentCache
        from spaniel_neural.files import transformer_digest

        loaded, config = self.loaded, self.config
        settings = asdict(loaded.model.settings)
        tokenizer = config.tokenizer
        width = int(loaded.reader.hidden_size)
        return ContentCache(
            self.context,
            "spaniel-mvp/mvp",
            {"settings": settings, "dtype": config.dtype, "tokenizer": tokenizer},
            {"model": transformer_digest(loaded.reader.folder, self.context.store)},
            (loaded.model.settings.views, width),
            "relevance-vectors",
        )


def _repeated(queries: Sequence[str], lengths: Sequence[int]) -> list[str]:
    return [query for query, length in zip(queries, lengths, strict=True) for _ in range(length)]

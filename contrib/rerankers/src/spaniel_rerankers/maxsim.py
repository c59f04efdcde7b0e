"""Reranking by late interaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, Queries, Run
from spaniel.data import MultiVectors
from spaniel.encoding import corpus_vectors, encode_queries, vectors_need
from spaniel.rerank import PointwiseReranker
from spaniel.store import Need
from spaniel_neural.texts import distinct

if TYPE_CHECKING:
    from spaniel.protocols import Encoder, Role

    from spaniel_rerankers.config import MaxSimConfig

FORM = "multi-vector"
DOCUMENTS = 256
"""Documents whose token vectors are held in memory at once."""


class MaxSim(PointwiseReranker):
    """Sums, over the query's token vectors, the largest inner product with one of the document's.

    Each document is encoded once, however many lists it is in; documents are worked on a block at a time, so that memory
    does not grow with the lists.
    """

    config: MaxSimConfig

    def needs(self, corpus: Need) -> Sequence[Need]:
        """The vectors of the corpus, where they are to be kept."""
        if self.config.documents == "listed":
            return ()
        return [vectors_need(self.context, self.config.encoder, corpus)]

    @property
    def encoder(self) -> Encoder:
        """The token-level encoder."""
        encoder: Encoder = self.context.create("encode", self.config.encoder)
        return encoder

    def fingerprint(self) -> Mapping[str, str]:
        """What the encoder says of itself, in either role."""
        encoder = self.encoder
        roles: tuple[Role, ...] = ("query", "document")
        made = {role: encoder.fingerprint(role) for role in roles}
        return {f"{role} {name}": digest for role, digests in made.items() for name, digest in digests.items()}

    def weight(self) -> float:
        """Return the option."""
        return self.config.weight

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Score pairs: ``(n,)`` float32."""
        if not len(texts):
            return np.zeros(0, np.float32)
        (asked, query), (held, document) = distinct(queries), distinct(texts)
        mine = cast(MultiVectors, self.encoder.encode(asked, "query")[FORM])
        theirs = cast(MultiVectors, self.encoder.encode(held, "document")[FORM])
        return self._similarity(mine, theirs, query, document)

    def score_run(self, queries: Queries, run: Run, corpus: Corpus) -> NDArray[np.float32]:
        """Score the documents of a run, a block of documents at a time, with all the queries that list them."""
        scores = np.zeros(len(run.rows), np.float32)
        if not len(scores):
            return scores
        mine = cast(MultiVectors, encode_queries(self.context, self.config.encoder, queries)[FORM])
        stored = None
        if self.config.documents == "stored":
            stored = cast(MultiVectors, corpus_vectors(self.context, self.config.encoder, corpus.need, FORM))
        owners = run.owners
        listed, number = np.unique(run.rows, return_inverse=True)
        order = np.argsort(number, kind="stable")
        bounds = np.searchsorted(number[order], np.arange(0, len(listed) + DOCUMENTS, DOCUMENTS))
        done = reached = 0

        def told(documents: int) -> None:
            # What is counted is queries, and each document does a share of all.
            nonlocal done, reached
            done += documents
            before, reached = reached, len(run) * done // len(listed)
            self.context.advance(reached - before)

        for block, start in enumerate(range(0, len(listed), DOCUMENTS)):
            rows = listed[start : start + DOCUMENTS]
            with self.context.following(len(rows), told):
                theirs = stored.take(rows) if stored is not None else self._encode(rows, corpus)
            pairs = order[bounds[block] : bounds[block + 1]]
            scores[pairs] = self._similarity(mine, theirs, owners[pairs], number[pairs] - start)
            self.context.count("pairs scored", len(pairs))
        return scores

    def _encode(self, rows: NDArray[np.int32], corpus: Corpus) -> MultiVectors:
        documents = corpus.documents(rows)
        encoded = self.encoder.encode(
            [document.contents for document in documents], "document", [document.metadata for document in documents]
        )
        return cast(MultiVectors, encoded[FORM])

    def _similarity(
        self, queries: MultiVectors, documents: MultiVectors, query: NDArray[np.int64], document: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        from spaniel_neural.devices import choose_device

        from spaniel_rerankers.similarity import pair_similarity

        return pair_similarity(queries, documents, query, document, choose_device(self.context.device))

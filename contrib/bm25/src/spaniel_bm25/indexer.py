"""Building and opening BM25 indexes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Corpus, PluginError
from spaniel.store import Artifact, Draft

from spaniel_bm25.config import Bm25Index
from spaniel_bm25.formulas import absent_part, idf, tf_part
from spaniel_bm25.kernel import count_postings, fill_postings
from spaniel_bm25.postings import Index

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer

BATCH = 5000
"""Documents analyzed at once."""

Batch = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Tokens per document, and the term numbers of the tokens."""

CHUNK = 2**18
"""Postings scored at once."""


class Bm25Indexer:
    """Streams a corpus through the analyzer and keeps, for each term, the documents that hold it with their scores.

    While it builds it holds the vocabulary, 8 bytes a document, 4 bytes a token and, in the end, 8 bytes a posting.
    """

    can_add = False
    can_delete = False

    def __init__(self, config: Bm25Index, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def analyzer(self) -> Analyzer:
        analyzer: Analyzer = self.context.create("analyzer", self.config.analyzer)
        return analyzer

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the tokens."""
        return {"analyzer": dict(self.analyzer.fingerprint())}

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of a corpus."""
        if not isinstance(source, Corpus):
            raise PluginError("spaniel-bm25", f"bm25 indexes a corpus, not {type(source).__name__}")
        batches, vocabulary = self._tokens(source, draft)
        lengths = np.concatenate([np.empty(0, np.int64), *(lengths for lengths, _ in batches)])
        tokens = int(lengths.sum())
        indptr, indices, counts = _postings(batches, len(vocabulary))
        absent = self._score(indptr, indices, counts, lengths)
        for name, array in (("indptr", indptr), ("indices", indices), ("data", counts), ("absent", absent)):
            np.save(draft.file(f"{name}.npy"), array, allow_pickle=False)
        draft.file("vocabulary.json").write_text(json.dumps(list(vocabulary), ensure_ascii=False), encoding="utf-8")
        draft.info.update(documents=len(lengths), terms=len(vocabulary), postings=len(indices), tokens=tokens)

    def _tokens(self, corpus: Corpus, draft: Draft) -> tuple[list[Batch], dict[str, int]]:
        advance = draft.progress(len(corpus), "documents")
        vocabulary: dict[str, int] = {}
        batches: list[Batch] = []
        for batch in corpus.batches(BATCH):
            tokens = self.analyzer.analyze([document.contents for document in batch.documents])
            numbers = (vocabulary.setdefault(token, len(vocabulary)) for token in tokens.vocabulary)
            table = np.fromiter(numbers, np.int32, len(tokens.vocabulary))
            ids = table[tokens.ids] if len(tokens.ids) else tokens.ids
            batches.append((np.diff(tokens.offsets), ids))
            advance(len(batch.documents))
        return batches, vocabulary

    def _score(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        counts: NDArray[np.float32],
        lengths: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Turn counts into scores, in place; return what each term adds to documents that lack it, ``(terms,)``."""
        method, k1, b, delta = self.config.method, self.config.k1, self.config.b, self.config.delta
        weights = idf(method, np.diff(indptr).astype(np.float64), len(lengths))
        mean = lengths.mean() if lengths.any() else 1.0
        absent = absent_part(method, k1, delta)
        for start in range(0, len(indices), CHUNK):
            end = min(start + CHUNK, len(indices))
            tf, length = counts[start:end].astype(np.float64), lengths[indices[start:end]] / mean
            added = tf_part(method, tf, length, k1, b, delta) - absent
            weight = np.repeat(weights, np.diff(np.clip(indptr, start, end)).astype(np.int64))
            # The kernel reads signs: rounding may not leave a score below 0, nor a zero of the wrong sign.
            counts[start:end] = np.maximum(weight * added, 0) + 0.0
        return (weights * absent).astype(np.float32)

    def open(self, artifact: Artifact) -> Index:
        """Open an index, memory-mapped."""
        try:
            arrays = {
                name: np.load(artifact.file(f"{name}.npy"), mmap_mode="r", allow_pickle=False)
                for name in ("indptr", "indices", "data", "absent")
            }
            vocabulary = json.loads(artifact.file("vocabulary.json").read_text(encoding="utf-8"))
            index = Index(
                **arrays, vocabulary=vocabulary, documents=int(artifact.info["documents"]), analyzer=self.analyzer
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                artifact.path, f"holds no BM25 index ({error}); remove it and build it again"
            ) from error
        index.search([""], 1)  # compiles the kernel, or loads it compiled: part of opening, not of the first search
        return index


def _postings(batches: list[Batch], terms: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Turn documents into postings by term, in time linear in the tokens; the batches are used up.

    Returns:
        bounds ``(terms + 1,)``, and for each posting its row and how often the term occurs there.
    """
    last, df, start = np.full(terms, -1, np.int32), np.zeros(terms, np.int64), 0
    for lengths, ids in batches:
        count_postings(lengths, ids, start, last, df)
        start += len(lengths)
    indptr = np.concatenate([[0], np.cumsum(df)]).astype(np.int64)
    indices, counts = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    last[:], start, ends = -1, 0, indptr[:-1].copy()
    batches.reverse()
    while batches:
        lengths, ids = batches.pop()
        fill_postings(lengths, ids, start, last, ends, indices, counts)
        start += len(lengths)
    return indptr, indices, counts

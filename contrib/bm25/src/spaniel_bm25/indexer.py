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
from spaniel_bm25.postings import Index

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer

BATCH = 5000


class Bm25Indexer:
    """Streams a corpus through the analyzer and keeps, for each term, the documents that hold it with their scores.

    While it builds it holds one 32-bit number a token, and in the end 64 bits a posting.
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
        lengths, ids, vocabulary = self._tokens(source, draft)
        self._write(lengths, ids, vocabulary, draft)

    def _tokens(self, corpus: Corpus, draft: Draft) -> tuple[NDArray[np.int64], NDArray[np.int32], dict[str, int]]:
        advance = draft.progress(len(corpus), "documents")
        vocabulary: dict[str, int] = {}
        lengths, ids = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        for batch in corpus.batches(BATCH):
            tokens = self.analyzer.analyze([document.contents for document in batch.documents])
            numbers = (vocabulary.setdefault(token, len(vocabulary)) for token in tokens.vocabulary)
            table = np.fromiter(numbers, np.int32, len(tokens.vocabulary))
            ids.append(table[tokens.ids] if len(tokens.ids) else tokens.ids)
            lengths.append(np.diff(tokens.offsets))
            advance(len(batch.documents))
        return np.concatenate(lengths), np.concatenate(ids), vocabulary

    def _write(
        self, lengths: NDArray[np.int64], ids: NDArray[np.int32], vocabulary: dict[str, int], draft: Draft
    ) -> None:
        documents, method = len(lengths), self.config.method
        k1, b, delta = self.config.k1, self.config.b, self.config.delta
        # One number for each pair of term and document; sorted, they are the postings, term by term.
        pairs = ids.astype(np.int64) * max(1, documents) + np.repeat(np.arange(documents), lengths)
        pairs, counts = np.unique(pairs, return_counts=True)
        rows = (pairs % max(1, documents)).astype(np.int32)
        df = np.bincount(pairs // max(1, documents), minlength=len(vocabulary)).astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(df)]).astype(np.int64)
        weights = idf(method, df.astype(np.float64), documents)
        mean = float(lengths.mean()) if documents and lengths.sum() else 1.0
        parts = tf_part(method, counts.astype(np.float64), lengths[rows] / mean, k1, b, delta)
        absent = absent_part(method, k1, delta)
        data = (np.repeat(weights, df) * (parts - absent)).astype(np.float32)
        for name, array in (
            ("indptr", indptr),
            ("indices", rows),
            ("data", data),
            ("absent", (weights * absent).astype(np.float32)),
        ):
            np.save(draft.file(f"{name}.npy"), array, allow_pickle=False)
        draft.file("vocabulary.json").write_text(json.dumps(list(vocabulary), ensure_ascii=False), encoding="utf-8")
        draft.info.update(documents=documents, terms=len(vocabulary), postings=len(data), tokens=len(ids))

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

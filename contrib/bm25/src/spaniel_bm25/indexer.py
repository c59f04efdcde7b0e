"""Building and opening BM25 indexes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, PluginError
from spaniel.contents import noted, open_array, read_json, require, require_finite, require_range
from spaniel.store import Artifact, Draft
from spaniel_impacts.building import flush, invert_tokens, write_arrays
from spaniel_impacts.postings import Postings

from spaniel_bm25.config import Bm25Index
from spaniel_bm25.formulas import absent_part, idf, tf_part
from spaniel_bm25.searching import Index
from spaniel_bm25.tokens import Tokens, remove_tokens

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer

CHUNK = 2**18
"""Postings scored at once."""
_WRITTEN = "index"


class Bm25Indexer:
    """Streams a corpus through the analyzer and keeps, for each term, the documents that hold it with their scores.

    While it builds it holds the vocabulary and 8 bytes a document; tokens, and what becomes of them, are mapped from the
    draft, in which a build that was killed finds the tokens again.
    """

    can_add = False
    can_delete = False
    can_filter = True
    recall = 1.0

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
        if not draft.done(_WRITTEN):
            self._write(Tokens(draft, source, self.analyzer), draft)
            draft.finish(_WRITTEN)
        remove_tokens(draft)
        indptr, occurrences = (
            np.load(draft.file(f"{name}.npy"), allow_pickle=False) for name in ("indptr", "occurrences")
        )
        counts = {"terms": len(occurrences), "postings": int(indptr[-1]), "tokens": int(occurrences.sum())}
        draft.info.update(documents=len(source), **counts)

    def _write(self, tokens: Tokens, draft: Draft) -> None:
        batches, terms = tokens.batches(), len(tokens.vocabulary)
        lengths = np.concatenate([np.empty(0, np.int64), *(lengths for lengths, _ in batches)])
        occurrences = np.zeros(terms, np.int64)
        for _, ids in batches:
            occurrences += np.bincount(ids, minlength=terms)
        indptr, indices, counts = invert_tokens(batches, terms, draft)
        absent = self._score(indptr, indices, counts, lengths)
        flush(indices, counts)
        write_arrays({"indptr": indptr, "absent": absent, "occurrences": occurrences}, draft)
        words = json.dumps(list(tokens.vocabulary), ensure_ascii=False)
        draft.file("vocabulary.json").write_text(words, encoding="utf-8")

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
            # The search reads signs: rounding may not leave a score below 0, nor a zero of the wrong sign.
            counts[start:end] = np.maximum(weight * added, 0) + 0.0
        return (weights * absent).astype(np.float32)

    def check(self, artifact: Artifact) -> None:
        """Look once through all numbers; see :meth:`spaniel.protocols.Indexer.check`.

        Raises:
            ArtifactError: something is out of bounds.
        """
        from spaniel_impacts.checking import check_postings  # compiled: loaded where it is needed

        postings = check_postings(artifact, noted(artifact, "documents"), {"indptr", "indices", "data"})
        absent, occurrences, vocabulary = _read_terms(artifact, postings.terms)
        where = artifact.path / "absent.npy"
        require_finite(absent, where)
        require_range(absent, 0, np.inf, where)
        often = bool((occurrences >= np.diff(postings.indptr)).all())
        require(often, artifact.path / "occurrences.npy", "holds a term that occurs in more documents than times")
        require(len(set(vocabulary)) == len(vocabulary), artifact.path / "vocabulary.json", "holds a token twice")

    def open(self, artifact: Artifact) -> Index:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged, or none.
        """
        postings = Postings.open(artifact, noted(artifact, "documents"))
        absent, occurrences, vocabulary = _read_terms(artifact, postings.terms)
        return Index(postings, absent, vocabulary, self.analyzer, occurrences)


def _read_terms(artifact: Artifact, terms: int) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:
    """Read what an index knows of its terms beside their postings: what each adds where it is absent, how often it occurs,
    and the tokens.
    """
    absent = open_array(artifact.file("absent.npy"), np.float32, (terms,))
    occurrences = open_array(artifact.file("occurrences.npy"), np.int64, (terms,))
    where = artifact.file("vocabulary.json")
    vocabulary = read_json(where)
    fits = isinstance(vocabulary, list) and len(vocabulary) == terms and all(type(word) is str for word in vocabulary)
    require(fits, where, f"is no list of {terms} tokens")
    return absent, occurrences, vocabulary

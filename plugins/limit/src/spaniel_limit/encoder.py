"""An encoder that knows the judgments: what few dimensions can represent, as a component."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from spaniel import UsageError
from spaniel.collections import choose_split, find_dataset
from spaniel.data import DenseVectors
from spaniel.indexing import open_corpus

from spaniel_limit.config import MomentCurveConfig
from spaniel_limit.moment_curve import document_vectors, even_angles, query_vectors

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Dataset, Metadata, Role


class MomentCurveEncoder:
    """Puts the relevant documents of a collection on the moment curve, and queries where they find theirs first.

    All other documents share one place on the curve. A text that the collection does not hold stands at an angle that
    its digest gives. With ``n`` relevant documents, float32 keeps pairs apart up to about 100.
    """

    def __init__(self, config: MomentCurveConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, DenseVectors]:
        """Encode texts: ``{"dense": (n, 2k)}``, compared by the cosine.

        Raises:
            UsageError: a query of the collection has more than ``k`` relevant documents.
        """
        places, asked = self._known
        k = self.config.k
        if role == "document":
            angles = np.array([places.get(text, _angle(text)) for text in texts], np.float64)
            vectors = document_vectors(angles, k)
        else:
            sets = np.array([asked.get(text) or [_angle(text)] * k for text in texts], np.float64).reshape(-1, k)
            vectors = query_vectors(sets)
        return {"dense": DenseVectors(vectors.astype(np.float32), "cosine")}

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Digests of documents and judgments."""
        dataset, split = self._dataset, self._split
        return {
            "documents": dataset.documents().recipe.address,
            "queries": dataset.queries(split).digest,
            "judgments": dataset.qrels(split).digest,
        }

    @cached_property
    def _dataset(self) -> Dataset:
        return find_dataset(self.context, self.config.collection)

    @cached_property
    def _split(self) -> str:
        return choose_split(self._dataset, self.config.split)

    @cached_property
    def _known(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Contents of a document → its angle; text of a query → those of its documents, the last one repeated."""
        k = self.config.k
        corpus = open_corpus(self.context, self._dataset.documents())
        queries, qrels = self._dataset.queries(self._split), self._dataset.qrels(self._split)
        relevant = {query: qrels.relevant(query) for query in qrels}
        longest = max(map(len, relevant.values()), default=0)
        if longest > k:
            raise UsageError(f"{self._dataset.name} has queries with {longest} relevant documents; give k={longest}")
        names = list(dict.fromkeys(name for names in relevant.values() for name in names))
        rows = corpus.rows(names)
        names = [name for name, row in zip(names, rows.tolist(), strict=True) if row >= 0]
        circle = even_angles(len(names) + 1).tolist()
        angle_of = dict(zip(names, circle, strict=False))
        places = {
            document.contents: angle_of.get(document.id, circle[-1])
            for batch in corpus.batches(5000)
            for document in batch.documents
        }
        asked = {}
        for name, text in zip(queries.ids, queries.texts, strict=True):
            angles = [angle_of[document] for document in relevant.get(name, ()) if document in angle_of]
            if angles:
                asked[text] = angles + [angles[-1]] * (k - len(angles))
        return places, asked


def _angle(text: str) -> float:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return float(2 * np.pi * number / 2**64)

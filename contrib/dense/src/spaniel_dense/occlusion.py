"""How much a score falls when a word is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Explanation
from spaniel.data import DenseVectors, Document

from spaniel_dense.config import OcclusionConfig
from spaniel_dense.flat import similarity

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.protocols import Encoder

    from spaniel_dense.retriever import DenseRetriever

# What white space separates is a word, and so is each Chinese character and each kana.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


class DenseOcclusion:
    """A word's contribution is the score minus the score of the text without it.

    Words act together, so these differences do not add up; what they leave is the remainder.
    """

    def __init__(self, config: OcclusionConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def explain(self, target: DenseRetriever, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query."""
        encoder: Encoder = self.context.create("encode", target.config.encoder)
        documents = corpus.documents(rows)
        if self.config.side == "query":
            words, texts = _leave_out(query)
            everything = similarity(_encode_queries(encoder, texts), _encode_documents(encoder, documents))
            return [self._one(query, d, words, everything[:, i]) for i, d in enumerate(documents)]
        asked = _encode_queries(encoder, [query])
        made = []
        for document in documents:
            words, texts = _leave_out(document.contents)
            variants = [document._replace(title="", text=text) for text in texts]
            made.append(self._one(query, document, words, similarity(asked, _encode_documents(encoder, variants))[0]))
        return made

    def _one(self, query: str, document: Document, words: list[str], scores: NDArray[np.float32]) -> Explanation:
        score = float(scores[0])
        parts = tuple(
            Contribution(word, score - float(without), "term", note=f"without it {without:.4f}")
            for word, without in zip(words, scores[1:], strict=True)
        )
        remainder = score - sum(part.score for part in parts)
        parameters = {"side": self.config.side}
        return Explanation("dense", "dense-occlusion", query, document.id, score, parts, remainder, parameters)


def _encode_queries(encoder: Encoder, queries: list[str]) -> DenseVectors:
    vectors = encoder.encode(queries, "query")["dense"]
    assert isinstance(vectors, DenseVectors)  # the promise of an encoder that gives "dense"
    return vectors


def _encode_documents(encoder: Encoder, documents: Sequence[Document]) -> DenseVectors:
    texts = [document.contents for document in documents]
    vectors = encoder.encode(texts, "document", [document.metadata for document in documents])["dense"]
    assert isinstance(vectors, DenseVectors)  # the promise of an encoder that gives "dense"
    return vectors


def _leave_out(text: str) -> tuple[list[str], list[str]]:
    """Return the words of a text, and the text followed by its versions without each of them."""
    found = list(_WORD.finditer(text))
    shortened = [f"{text[: word.start()]}{text[word.end() :]}" for word in found]
    return [word.group() for word in found], [text, *shortened]

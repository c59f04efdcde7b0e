"""Texts alone, for language models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from spaniel import Context

from spaniel_train.config import DocumentsConfig
from spaniel_train.material import Material
from spaniel_train.protocols import Made
from spaniel_train.rows import Row


class Documents:
    """Each document, or each passage of it, as a row without a query: what language models read."""

    def __init__(self, config: DocumentsConfig, context: Context) -> None:
        self.config = config

    def units(self, material: Material) -> int:
        """Return the number of documents."""
        return len(material.need_corpus("documents"))

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Make the rows of some documents."""
        corpus = material.need_corpus("documents")
        rows: list[Row] = []
        counts: Counter[str] = Counter(documents=stop - start)
        for document in corpus.documents(range(start, stop)):
            text = f"{document.title}. {document.text}" if document.title and document.text else document.contents
            made = [
                Row("", (passage,), provenance={"collection": material.name, "document": document.id})
                for passage in self._passages(text)
            ]
            rows += made
            counts["empty documents"] += not made
        counts["rows"] = len(rows)
        return Made(rows, counts)

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return nothing; the counts say it."""
        return {}

    def _passages(self, text: str) -> Iterator[str]:
        words = text.split()
        size = self.config.words or max(1, len(words))
        for start in range(0, len(words), size):
            yield " ".join(words[start : start + size]) if self.config.words else text

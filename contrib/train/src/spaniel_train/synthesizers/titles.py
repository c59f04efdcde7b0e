"""Rows from titles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from spaniel import Context
from spaniel.data.texts.passages import count_words

from spaniel_train.config import TitlesConfig
from spaniel_train.material import Material
from spaniel_train.protocols import Made
from spaniel_train.rows import Row


class Titles:
    """A row a document: its title is the query, its text the positive.

    A title that the text begins with is cut off from it, so that the model does not learn to find copies.
    """

    def __init__(self, config: TitlesConfig, context: Context) -> None:
        self.config = config

    def units(self, material: Material) -> int:
        """Return the number of documents."""
        return len(material.need_corpus("titles"))

    def make(self, material: Material, start: int, stop: int) -> Made:
        """Make the rows of some documents."""
        corpus = material.need_corpus("titles")
        counts: Counter[str] = Counter(documents=stop - start)
        rows = []
        for document in corpus.documents(range(start, stop)):
            title, text = document.title.strip(), document.text.strip()
            if title and text.lower().startswith(title.lower()):
                text = text[len(title) :].lstrip(" .\n\t")
            if count_words(title) < self.config.words or count_words(text) < self.config.text_words:
                counts["rejected as too short"] += 1
                continue
            source = {"collection": material.name, "document": document.id}
            rows.append(Row(title, (text,), task="title", provenance=source))
        counts["rows"] = len(rows)
        return Made(rows, counts)

    def summary(self, counts: Mapping[str, float]) -> Mapping[str, Any]:
        """Return nothing more."""
        return {}

"""Which passages a document's score is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
from spaniel import Contribution, Corpus, Document, Explanation, Queries, Run, UsageError
from spaniel.explain import explain_pipeline

from spaniel_queries.passages.corpus import OF, open_passages
from spaniel_queries.passages.corpus import Passages as Split
from spaniel_queries.passages.wrapper import Listed, Passages

if TYPE_CHECKING:
    from spaniel import Context

_SHOWN = 60
"""Characters that are shown of a passage."""


class PassageParts:
    """One part a passage that counts, named and marked in the document, with its own explanation beneath."""

    exact = True

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def explain(self, target: Passages, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain scores where the target begins its pipeline."""
        return self.explain_behind(target, query, rows, corpus, None)

    def explain_behind(
        self, target: Passages, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain scores where the target reranks an earlier run."""
        split = open_passages(self.context, target.cutter, corpus)
        listed = target.list_passages(Queries.from_lists(["query"], [query]), split, run)
        made = []
        for row, document in zip(rows, corpus.documents(rows), strict=True):
            parts = self._parts(target, split, listed, query, row, document)
            total = float(sum(part.score for part in parts))
            made.append(Explanation("passages", "passage-parts", query, document.id, total, parts))
        return made

    def _parts(
        self, target: Passages, split: Split, listed: Listed, query: str, row: int, document: Document
    ) -> tuple[Contribution, ...]:
        found = listed.run
        places = np.flatnonzero(split.documents[found.rows] == row)
        config, size = target.config, int(split.sizes[row])
        share, missing = 1.0, 0
        if config.pool == "first":
            places = places[split.numbers[found.rows[places]] == 0]
        elif config.pool == "max":
            places = places[:1]
        elif config.pool == "mean" and len(places):
            wanted = min(config.best, size)
            places = places[:wanted]
            share, missing = 1 / wanted, wanted - len(places)
        parts = [self._passage(split, listed, query, int(at), size, share, document) for at in places]
        if missing:
            absent = float(listed.absent[0])
            note = f"{missing} × {absent:.4f}"
            parts.append(Contribution("passages that were not found", share * missing * absent, "passage", note=note))
        return tuple(parts)

    def _passage(
        self, split: Split, listed: Listed, query: str, at: int, size: int, share: float, document: Document
    ) -> Contribution:
        found = listed.run
        row, score = int(found.rows[at]), float(found.scores[at])
        (passage,) = split.corpus.documents([row])
        start, end = passage.metadata[OF]["span"]
        number = passage.metadata[OF]["number"]
        note = f"passage {number} of {size}: rank {at + 1} of {len(found.rows)}, score {score:.4f}"
        children: tuple[Contribution, ...] = ()
        try:
            (inner,) = explain_pipeline(self.context, listed.system, query, [row], split.corpus, run=listed.behind)
        except UsageError as error:
            note += f"; not explained further: {error}"
        else:
            shift = _Shift(document, passage, start)
            children = tuple(shift(part) for part in inner.parts())
            if inner.query != query:
                children = tuple(part.without_places("query") for part in children)
        label = f"passage {number}: {shorten(document.text[start:end], _SHOWN, placeholder=' …')}"
        place = _begin(document) + start, _begin(document) + end
        return Contribution(label, share * score, "passage", children, note, "document", place)


def _begin(document: Document) -> int:
    """Return where the text of a document begins in its contents; what is cut off there counts below 0."""
    joined = f"{document.title} {document.text}"
    return len(document.title) + 1 - (len(joined) - len(joined.lstrip()))


class _Shift:
    """Moves the places of parts from the contents of a passage to those of its document."""

    def __init__(self, document: Document, passage: Document, start: int) -> None:
        self.title = max(0, _begin(passage))
        self.by = _begin(document) + start - _begin(passage)

    def __call__(self, part: Contribution) -> Contribution:
        span = part.span if part.side != "document" or part.span is None else self._moved(*part.span)
        places = tuple((s, *self._moved(a, b)) if s == "document" else (s, a, b) for s, a, b in part.places)
        return replace(part, children=tuple(map(self, part.children)), span=span, places=places)

    def _moved(self, start: int, end: int) -> tuple[int, int]:
        # Titles are the same.
        return (start, end) if end <= self.title else (max(0, start + self.by), max(0, end + self.by))

"""Texts → clauses: terms, and phrases where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spaniel_bm25.tantivy_engine import Clause

if TYPE_CHECKING:
    from spaniel_text.protocol import Analyzer


def clauses_of(analyzer: Analyzer, text: str, phrases: bool) -> list[Clause]:
    """Return the clauses of a query; with ``phrases``, what stands in double quotes is required as a phrase.

    A quote that is not closed is a character like any other. Words that the analyzer leaves out, such as stop words, are
    no part of a phrase, as they are no part of the documents.
    """
    parts = list(_parts(text)) if phrases else [(text, False)]
    found = []
    for (_, quoted), tokens in zip(parts, analyzer.analyze([part for part, _ in parts]).lists(), strict=True):
        if quoted and tokens:
            found.append(Clause(tuple(tokens), required=True))
        else:
            found += [Clause((token,)) for token in tokens]
    return found


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a text, and whether each stands in quotes."""
    pieces = text.split('"')
    if len(pieces) % 2 == 0:
        pieces[-2:] = [f'{pieces[-2]}"{pieces[-1]}']
    for number, piece in enumerate(pieces):
        yield piece, number % 2 == 1

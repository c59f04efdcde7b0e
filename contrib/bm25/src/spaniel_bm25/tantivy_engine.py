"""What is asked of tantivy: its schema, its queries, and hits whose order at the cut is certain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

SEPARATOR = "\x1f"
"""Stands between tokens in what the engine reads, so that a token may hold anything else, blanks included."""
HEAP = 128_000_000
"""Bytes of documents that the engine gathers before it writes a segment."""
SMALL_MASK = 4096
"""Up to so many allowed documents are named to the engine; others are picked out of what it finds."""
MORE = 4
"""How many times as much is asked for where the end of a list is not certain yet."""


class Clause(NamedTuple):
    """A part of a query.

    Attributes:
        tokens: one, or several that must occur one behind the other.
        weight: by which its score is multiplied.
        required: whether a document must match it.
    """

    tokens: tuple[str, ...]
    weight: float = 1.0
    required: bool = False


def engine() -> Any:
    """Return the engine's module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import tantivy
    except ImportError:
        raise UsageError('`tantivy` needs its engine: pip install "spaniel-bm25[tantivy]"') from None
    return tantivy


def open_folder(folder: Path, create: bool = False) -> Any:
    """Open the engine's index in a folder, or begin one there.

    Rows are i64: the engine's unsigned fields fail as sort keys. Tokens are stored, so that an index can be written again
    without what was deleted.
    """
    tantivy = engine()
    if create:
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field("row", stored=False, indexed=True, fast=True)
        builder.add_text_field("tokens", stored=True, tokenizer_name="separated", index_option="position")
        index = tantivy.Index(builder.build(), path=str(folder))
    else:
        index = tantivy.Index.open(str(folder))
    separated = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(f"[^{SEPARATOR}]+")).build()
    index.register_tokenizer("separated", separated)
    return index


def make_query(index: Any, clauses: Sequence[Clause]) -> Any:
    """Return the engine's query: every required clause, and any of the others, their scores added up."""
    tantivy = engine()
    parts = []
    for clause in clauses:
        if len(clause.tokens) == 1:
            query = tantivy.Query.term_query(index.schema, "tokens", clause.tokens[0])
        else:
            query = tantivy.Query.phrase_query(index.schema, "tokens", list(clause.tokens))
        if clause.weight != 1:
            query = tantivy.Query.boost_query(query, clause.weight)
        parts.append((tantivy.Occur.Must if clause.required else tantivy.Occur.Should, query))
    return tantivy.Query.boolean_query(parts)


def among(index: Any, query: Any, rows: NDArray[Any]) -> Any:
    """Return a query for the same documents and scores, among some rows."""
    tantivy = engine()
    named = tantivy.Query.term_set_query(index.schema, "row", rows.tolist())
    must = tantivy.Occur.Must
    return tantivy.Query.boolean_query([(must, query), (must, tantivy.Query.const_score_query(named, 0.0))])


def all_rows(index: Any, searcher: Any) -> NDArray[np.int64]:
    """Return the rows of all documents, in no order."""
    hits = searcher.search(engine().Query.all_query(), max(1, searcher.num_docs), count=False).hits
    rows: list[int] = searcher.fast_field_values("row", [place for _, place in hits])
    return np.array(rows, np.int64)


def best(
    searcher: Any, query: Any, k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return rows and scores of the ``k`` best documents: score descending, then row ascending.

    The engine breaks ties by where documents lie in its files. So more is asked for until a score below that at the cut,
    or the end, is seen.
    """
    most = max(1, searcher.num_docs)
    limit = min(most, k + 16)
    while True:
        hits = searcher.search(query, limit, count=False).hits
        rows = np.array(searcher.fast_field_values("row", [place for _, place in hits]), np.int64)
        scores = np.array([score for score, _ in hits], np.float32)
        kept = np.arange(len(rows))
        if allowed is not None:
            inside = rows < len(allowed)
            kept = np.flatnonzero(inside & allowed[np.where(inside, rows, 0)]) if len(allowed) else kept[:0]
        whole = len(hits) < limit or limit == most
        if whole or (len(kept) >= k and scores[kept[k - 1]] > scores[-1]):
            order = kept[np.lexsort((rows[kept], -scores[kept]))][:k]
            return rows[order], scores[order]
        limit = min(most, limit * MORE)

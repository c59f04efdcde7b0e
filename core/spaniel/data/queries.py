"""Queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from spaniel.data.faults import check_id, check_metadata, check_text
from spaniel.errors import UsageError
from spaniel.store import canonical_json, digest_bytes


@dataclass(frozen=True)
class Queries:
    """Ids, texts and metadata of queries, in one order.

    Raises:
        UsageError: an id comes twice, something is malformed, or the lengths differ.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    metadata: tuple[Mapping[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.texts)} | ({len(self.metadata)} if self.metadata is not None else set())
        if len(lengths) > 1:
            raise UsageError(f"queries need one text (and metadata) for each id, not {sorted(lengths)}")
        for name, text in zip(self.ids, self.texts, strict=True):
            problem = check_id(name) or check_text(text)
            if problem:
                raise UsageError(f"query {name!r}: {problem}")
        for name, metadata in zip(self.ids, self.metadata or (), strict=self.metadata is not None):
            problem = check_metadata(metadata)
            if problem:
                raise UsageError(f"query {name!r}: {problem}")
        if len(set(self.ids)) < len(self.ids):
            name, times = Counter(self.ids).most_common(1)[0]
            raise UsageError(f"the query id {name!r} comes {times} times")

    @classmethod
    def from_lists(
        cls, ids: Sequence[str], texts: Sequence[str], metadata: Sequence[Mapping[str, Any]] | None = None
    ) -> Queries:
        """Make queries of lists."""
        return cls(tuple(ids), tuple(texts), None if metadata is None else tuple(metadata))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        first = [f"{name!r} {text[:40]!r}" for name, text in zip(self.ids[:2], self.texts, strict=False)]
        return f"Queries({len(self)}: {', '.join(first)}{', …' if len(self) > 2 else ''})"

    def select(self, positions: Sequence[int]) -> Queries:
        """Return the queries at some positions, in that order."""
        metadata = None if self.metadata is None else tuple(self.metadata[i] for i in positions)
        return Queries(tuple(self.ids[i] for i in positions), tuple(self.texts[i] for i in positions), metadata)

    @cached_property
    def digest(self) -> str:
        """Digest of ids, texts and metadata."""
        metadata = None if self.metadata is None else [dict(m) for m in self.metadata]
        return digest_bytes(canonical_json([self.ids, self.texts, metadata]))

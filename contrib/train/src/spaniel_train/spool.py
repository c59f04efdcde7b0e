"""Training rows that lie in a file and are read when they are asked for; memory holds a few numbers of each."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_train.rows import Row, parse_row, to_lines


class RowFile(Sequence[Row]):
    """Rows in a file that goes with the object; a row that is added several times is written once."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="spaniel-rows-")  # noqa: SIM115 - it is closed with the object
        self._starts = array("q")
        self._sizes = array("q")
        self._end = 0

    def extend(self, rows: Iterable[Row], repeat: int = 1) -> int:
        """Add rows, all of them so many times over, and return how many rows there were.

        Raises:
            UsageError: the disk is full.
        """
        first = len(self._starts)
        try:
            for row in rows:
                line = to_lines([row]).encode()
                self._file.write(line)
                self._starts.append(self._end)
                self._sizes.append(len(line))
                self._end += len(line)
            self._file.flush()
        except OSError as error:
            raise UsageError(f"training rows cannot be kept in {tempfile.gettempdir()}: {error}") from error
        starts, sizes = self._starts[first:], self._sizes[first:]
        for _ in range(repeat - 1):
            self._starts.extend(starts)
            self._sizes.extend(sizes)
        return len(starts)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        # Read at a place: the file's own position belongs to nobody, also among threads.
        line = os.pread(self._file.fileno(), self._sizes[place], self._starts[place])
        row = parse_row(json.loads(line))
        assert isinstance(row, Row)  # it was one when it was written
        return row


class Answers:
    """Query → every text that some row says answers it, looked up in the rows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        keys = np.fromiter((_key(row.query) if row.query else 0 for row in rows), np.uint64, len(rows))
        self._order: NDArray[np.int64] = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def get(self, query: str, default: frozenset[str], /) -> frozenset[str]:
        """Return the texts, or ``default`` where no row has the query."""
        if not query:
            return default
        key = np.uint64(_key(query))
        start, stop = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        found = [row for row in map(self._rows.__getitem__, self._order[start:stop].tolist()) if row.query == query]
        return frozenset(text for row in found for text in row.positives) if found else default


def _key(query: str) -> int:
    return int.from_bytes(hashlib.sha256(query.encode()).digest()[:8], "big") | 1

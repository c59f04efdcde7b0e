"""The corpus: documents in a SQLite file, addressed by row.

Rows are numbered in descending order of document id (as UTF-8 bytes), so that trec_eval's tie rule, score descending
and then document id descending, is score descending and then row ascending wherever rows are ranked.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaniel.data.docstore import FILE, build_store, documents_need, number_documents
from spaniel.data.document import Document
from spaniel.data.faults import Faults
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Artifact, Draft, Need

_ASK = 20_000
"""Rows or ids in one question to SQLite."""
_CONDITIONS = 25
"""Conditions in one question to SQLite, which allows 2,000 columns and, in old versions, 999 bound values."""


class Batch(NamedTuple):
    """Documents of consecutive rows from ``start``."""

    start: int
    documents: list[Document]


class Corpus:
    """A corpus on disk, never held whole in memory; safe to use from several threads, and after a fork.

    Attributes:
        need: how it is obtained; its recipe's address identifies it in other recipes.
        digest: digest of the ids, titles, texts and metadata in row order.
        info: what was noted when it was read: documents, characters, and what was left out.
    """

    def __init__(self, path: Path, need: Need, info: Mapping[str, Any]) -> None:
        self.need = need
        self.info = info
        self.digest: str = info["digest"]
        self._path = path
        self._size: int = info["documents"]
        self._local = threading.local()

    @classmethod
    def open(cls, artifact: Artifact, need: Need) -> Corpus:
        """Open the document store of a need of type ``corpus``.

        Raises:
            ArtifactError: it holds no document store.
        """
        size, digest = artifact.info.get("documents"), artifact.info.get("digest")
        if not isinstance(size, int) or not isinstance(digest, str):
            raise ArtifactError(artifact.path, "holds no document store; remove it and build it again")
        return cls(artifact.file(FILE), need, artifact.info)

    @classmethod
    def from_documents(cls, documents: Iterable[Document]) -> Corpus:
        """Make a corpus of documents that are at hand; its file lives as long as the object.

        Raises:
            UsageError: an id is malformed, or comes twice.
        """
        kept = list(documents)
        draft = Draft(Path(tempfile.mkdtemp(prefix="spaniel-")))
        try:
            build_store(number_documents(kept), draft, Faults("fail"))
        except BaseException:
            _remove(draft.path, os.getpid())
            raise
        need = documents_need(lambda: iter(kept), "spaniel/memory", {"digest": draft.info["digest"]})
        corpus = cls(draft.path / FILE, need, draft.info)
        weakref.finalize(corpus, _remove, draft.path, os.getpid())
        return corpus

    @property
    def address(self) -> str:
        """Address of the artifact."""
        return self.need.recipe.address

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"Corpus({self._size} documents, {self.address[:12]})"

    def ids(self, rows: Sequence[int] | NDArray[Any]) -> list[str]:
        """Return the ids of rows, in their order."""
        return [record[0] for record in self._fetch(rows, "id")]

    def rows(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Return the rows of ids, in their order: ``(len(ids),)`` int32, -1 where there is no such document."""
        # Sorted, so that neighbours in the index are read together.
        wanted = sorted(set(ids))
        found: dict[str, int] = {}
        for start in range(0, len(wanted), _ASK):
            asked = json.dumps(wanted[start : start + _ASK])
            found.update(
                self._query(
                    "SELECT id, row FROM (SELECT value FROM json_each(?)) JOIN documents ON id = value", (asked,)
                )
            )
        return np.fromiter((found.get(name, -1) for name in ids), np.int32, len(ids))

    def documents(self, rows: Sequence[int] | NDArray[Any]) -> list[Document]:
        """Return the documents of rows, in their order."""
        return [_document(record) for record in self._fetch(rows, "id, title, text, metadata")]

    def contents(self, rows: Sequence[int] | NDArray[Any]) -> list[str]:
        """Return title and text of rows, joined, in their order."""
        return [f"{title} {text}".strip() for title, text in self._fetch(rows, "title, text")]

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """Yield all documents from row ``start`` on, ``size`` at a time.

        Raises:
            UsageError: the size is not positive.
        """
        if size < 1:
            raise UsageError(f"a batch has at least 1 document, not {size}")
        while start < self._size:
            sql = "SELECT id, title, text, metadata FROM documents WHERE row >= ? AND row < ? ORDER BY row"
            yield Batch(start, [_document(record) for record in self._query(sql, (start, start + size))])
            start += size

    def answers(self, conditions: Sequence[tuple[str, Sequence[Any]]]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield for which rows conditions over the columns of the document store hold, some consecutive rows at a time.

        Args:
            conditions: SQL of the caller's own, with what is bound to its places; see
                :func:`spaniel.data.filters.to_sql`.

        Yields:
            the first row, and ``(len(conditions), rows)`` bool.
        """
        for start in range(0, self._size, _ASK):
            found = np.zeros((len(conditions), min(_ASK, self._size - start)), bool)
            for first in range(0, len(conditions), _CONDITIONS):
                asked = conditions[first : first + _CONDITIONS]
                columns = ", ".join(condition for condition, _ in asked)
                values = [value for _, bound in asked for value in bound]
                sql = f"SELECT {columns} FROM documents WHERE row >= ? AND row < ? ORDER BY row"
                rows = self._query(sql, (*values, start, start + _ASK))
                if len(rows) != found.shape[1]:
                    raise ArtifactError(self._path, "has lost documents; remove it and build it again")
                found[first : first + _CONDITIONS] = np.array(rows, bool).T
            yield start, found

    def rows_where(self, condition: str, values: Sequence[Any]) -> NDArray[np.int64]:
        """Return the rows for which one condition holds, ascending; see :meth:`answers`."""
        ((size,),) = self._query("SELECT count(*) FROM documents", ())
        if size != self._size:
            raise ArtifactError(self._path, "has lost documents; remove it and build it again")
        found = []
        for start in range(0, self._size, _ASK):
            sql = f"SELECT row FROM documents WHERE row >= ? AND row < ? AND {condition} ORDER BY row"
            found += self._query(sql, (start, min(start + _ASK, self._size), *values))
        return np.array(found, np.int64).reshape(-1)

    def _fetch(self, rows: Sequence[int] | NDArray[Any], columns: str) -> list[tuple[Any, ...]]:
        array = np.asarray(rows, dtype=np.int64)
        wanted = np.unique(array)
        if len(wanted) and (wanted[0] < 0 or wanted[-1] >= self._size):
            bad = wanted[0] if wanted[0] < 0 else wanted[-1]
            raise UsageError(f"there is no row {bad} in a corpus of {self._size} documents")
        found: dict[int, tuple[Any, ...]] = {}
        sql = f"SELECT row, {columns} FROM (SELECT value FROM json_each(?)) JOIN documents ON row = value"
        for start in range(0, len(wanted), _ASK):
            asked = json.dumps(wanted[start : start + _ASK].tolist())
            found.update((record[0], record[1:]) for record in self._query(sql, (asked,)))
        try:
            return [found[row] for row in array.tolist()]
        except KeyError as error:
            raise ArtifactError(self._path, f"has no row {error}; remove it and build it again") from error

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOMEM:
                raise MemoryError(str(error)) from error
            raise ArtifactError(self._path, f"cannot be read ({error}); remove it and build it again") from error

    def _connection(self) -> sqlite3.Connection:
        # SQLite's connections must neither cross threads nor a fork.
        if getattr(self._local, "process", None) != os.getpid():
            uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            self._local.connection = sqlite3.connect(uri, uri=True, factory=_Connection, check_same_thread=False)
            self._local.process = os.getpid()
        connection: sqlite3.Connection = self._local.connection
        return connection


class _Connection(sqlite3.Connection):
    """Closed when its thread ends or its corpus goes, wherever that is noticed."""

    def __del__(self) -> None:
        # One that could not be opened has nothing to close.
        with suppress(sqlite3.ProgrammingError):
            self.close()


def _remove(folder: Path, process: int) -> None:
    # A child that was forked ends without the files of its parent.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _document(record: tuple[Any, ...]) -> Document:
    name, title, text, metadata = record
    return Document(name, title, text, json.loads(metadata))

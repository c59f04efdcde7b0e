"""The corpus: documents in a SQLite file, addressed by row.

Rows are numbered in descending order of document id (as UTF-8 bytes), so that trec_eval's tie rule, score descending and
then document id descending, is score descending and then row ascending wherever rows are ranked.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaniel.data.document import Document
from spaniel.data.faults import OnError, check_id, check_text
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Artifact, Draft, Need, Recipe, canonical_json

FILE = "corpus.sqlite"
VERSION = "1"
"""Version of the document store; part of every corpus's recipe."""
_STAGED = "staged.sqlite"
_COMMIT = 20_000
_ASK = 20_000
_COLUMNS = "id TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL"

Located = tuple[str, Document]
"""A document with the place that it was read from, for messages."""


class Batch(NamedTuple):
    """Documents of consecutive rows from ``start``."""

    start: int
    documents: list[Document]


class Corpus:
    """A corpus on disk, never held whole in memory; safe to use from several threads, and after a fork.

    Attributes:
        need: how it is obtained; its recipe's address identifies it in other recipes.
        digest: digest of the ids, titles, texts and metadata in row order.
    """

    def __init__(self, path: Path, need: Need, size: int, digest: str, keep: object = None) -> None:
        self.need = need
        self.digest = digest
        self._path = path
        self._size = size
        self._keep = keep
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
        return cls(artifact.file(FILE), need, size, digest)

    @classmethod
    def from_documents(cls, documents: Iterable[Document]) -> Corpus:
        """Make a corpus of documents that are at hand; its file lives as long as the object.

        Raises:
            UsageError: an id is malformed, or comes twice.
        """
        kept = list(documents)
        folder = tempfile.TemporaryDirectory(prefix="spaniel-")
        draft = Draft(Path(folder.name))
        build_store(_number(kept), draft, "fail")
        need = documents_need(lambda: iter(kept), "spaniel/memory", {"digest": draft.info["digest"]})
        return cls(draft.path / FILE, need, draft.info["documents"], draft.info["digest"], keep=folder)

    def __len__(self) -> int:
        return self._size

    def ids(self, rows: Sequence[int] | NDArray[Any]) -> list[str]:
        """Return the ids of rows, in their order."""
        return [record[0] for record in self._fetch(rows, "id")]

    def rows(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Return the rows of ids, in their order; -1 where there is no such document."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, int] = {}
        for start in range(0, len(wanted), _ASK):
            asked = json.dumps(wanted[start : start + _ASK])
            sql = "SELECT id, row FROM (SELECT value FROM json_each(?)) JOIN documents ON id = value"
            found.update(self._query(sql, (asked,)))
        return np.fromiter((found.get(name, -1) for name in ids), np.int32, len(ids))

    def documents(self, rows: Sequence[int] | NDArray[Any]) -> list[Document]:
        """Return the documents of rows, in their order."""
        fetched = self._fetch(rows, "id, title, text, metadata")
        return [Document(name, title, text, json.loads(metadata)) for name, title, text, metadata in fetched]

    def contents(self, rows: Sequence[int] | NDArray[Any]) -> list[str]:
        """Return title and text of rows, joined, in their order."""
        return [f"{title} {text}".strip() for title, text in self._fetch(rows, "title, text")]

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """Yield all documents from row ``start`` on, ``size`` at a time."""
        while start < self._size:
            sql = "SELECT id, title, text, metadata FROM documents WHERE row >= ? AND row < ? ORDER BY row"
            records = self._query(sql, (start, start + size))
            yield Batch(start, [Document(i, title, text, json.loads(m)) for i, title, text, m in records])
            start += size

    def _fetch(self, rows: Sequence[int] | NDArray[Any], columns: str) -> list[tuple[Any, ...]]:
        array = np.asarray(rows, dtype=np.int64)
        wanted = np.unique(array)
        if len(wanted) and (wanted[0] < 0 or wanted[-1] >= self._size):
            bad = wanted[0] if wanted[0] < 0 else wanted[-1]
            raise UsageError(f"there is no row {bad} in a corpus of {self._size} documents")
        found: dict[int, tuple[Any, ...]] = {}
        for start in range(0, len(wanted), _ASK):
            part = wanted[start : start + _ASK]
            sql = f"SELECT row, {columns} FROM (SELECT value FROM json_each(?)) JOIN documents ON row = value"
            found.update((record[0], record[1:]) for record in self._query(sql, (json.dumps(part.tolist()),)))
        return [found[row] for row in array.tolist()]

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise ArtifactError(self._path, f"cannot be read ({error}); remove it and build it again") from error

    def _connection(self) -> sqlite3.Connection:
        if getattr(self._local, "process", None) != os.getpid():
            uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            self._local.connection = sqlite3.connect(uri, uri=True)
            self._local.process = os.getpid()
        connection: sqlite3.Connection = self._local.connection
        return connection


def corpus_need(
    read: Callable[[], Iterator[Located]],
    component: str,
    inputs: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
    on_error: OnError = "fail",
    version: str = VERSION,
) -> Need:
    """Name the document store of documents that are read from somewhere.

    Args:
        read: starts reading from the beginning; yields documents with their places.
        component: who reads them.
        inputs: digests of what is read.
        config: what else decides what is read.
        on_error: ``"skip"`` counts and leaves out what is malformed; of documents with one id the first is kept.
        version: version of the reader.
    """
    recipe = Recipe("corpus", component, version, {"store": VERSION, "on_error": on_error, **(config or {})}, None, inputs)
    return Need(recipe, lambda draft: build_store(read(), draft, on_error))


def documents_need(read: Callable[[], Iterator[Document]], component: str, inputs: Mapping[str, str]) -> Need:
    """Name the document store of documents that some code makes."""
    return corpus_need(lambda: _number(read()), component, inputs)


def build_store(documents: Iterator[Located], draft: Draft, on_error: OnError) -> None:
    """Write a document store: staged as it comes, then sorted by SQLite, in bounded memory.

    A build that was killed while staging reads the source again but goes on after what is staged.

    Raises:
        UsageError: a document is malformed, or its id comes twice, and ``on_error`` is ``"fail"``.
    """
    skipped = _Skipped(on_error)
    staged = draft.path / _STAGED
    with sqlite3.connect(staged) as database:
        database.execute(f"CREATE TABLE IF NOT EXISTS staged (number INTEGER PRIMARY KEY, place TEXT, {_COLUMNS})")
        (count,) = database.execute("SELECT count(*) FROM staged").fetchone()
        advance = draft.progress(None, "documents")
        advance(count)
        records = skipped.checked(documents)
        for _ in islice(records, count):
            pass
        while batch := list(islice(records, _COMMIT)):
            database.executemany("INSERT INTO staged (place, id, title, text, metadata) VALUES (?, ?, ?, ?, ?)", batch)
            database.commit()
            advance(len(batch))
    database.close()
    _sort(staged, draft, skipped)
    staged.unlink()


def _sort(staged: Path, draft: Draft, skipped: _Skipped) -> None:
    target = draft.file(FILE)
    target.unlink(missing_ok=True)
    digest, characters, empty, number = hashlib.sha256(), 0, 0, 0
    source, store = sqlite3.connect(staged), sqlite3.connect(target)
    try:
        store.execute("PRAGMA journal_mode = OFF")
        store.execute("PRAGMA synchronous = OFF")
        store.execute(f"CREATE TABLE documents (row INTEGER PRIMARY KEY, {_COLUMNS})")
        sql = "SELECT place, id, title, text, metadata FROM staged ORDER BY id COLLATE BINARY DESC, number"
        last_id, last_place = None, ""
        batch: list[tuple[Any, ...]] = []
        for place, name, title, text, metadata in source.execute(sql):
            if name == last_id:
                skipped.report(f"{place}: the document id {name!r} comes twice; it was at {last_place} before", True)
                continue
            last_id, last_place = name, place
            digest.update(canonical_json([name, title, text, metadata]) + b"\n")
            characters += len(title) + len(text)
            empty += not (title or text)
            batch.append((number, name, title, text, metadata))
            number += 1
            if len(batch) == _COMMIT:
                store.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", batch)
                batch.clear()
        store.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", batch)
        store.execute("CREATE UNIQUE INDEX by_id ON documents (id)")
        store.commit()
    finally:
        source.close()
        store.close()
    draft.info.update(
        documents=number,
        digest=digest.hexdigest(),
        characters=characters,
        empty=empty,
        skipped=skipped.count,
        duplicates=skipped.duplicates,
        first_skipped=skipped.first,
    )


class _Skipped:
    """Raises what is malformed, or counts it and keeps the first ten messages."""

    def __init__(self, on_error: OnError) -> None:
        self.on_error = on_error
        self.count = 0
        self.duplicates = 0
        self.first: list[str] = []

    def report(self, message: str, duplicate: bool = False) -> None:
        if self.on_error == "fail":
            raise UsageError(f"{message} (--on-error skip leaves such documents out)")
        self.count += not duplicate
        self.duplicates += duplicate
        if len(self.first) < 10:
            self.first.append(message)

    def checked(self, documents: Iterator[Located]) -> Iterator[tuple[str, str, str, str, str]]:
        for place, document in documents:
            problem = check_id(document.id) or check_text(document.title) or check_text(document.text)
            metadata = ""
            if problem is None:
                try:
                    metadata = json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False, sort_keys=True)
                    problem = check_text(metadata)
                except (TypeError, ValueError) as error:
                    problem = f"its metadata have no JSON form ({error})"
            if problem is not None:
                self.report(f"{place}: {problem}")
                continue
            yield place, document.id, document.title, document.text, metadata


def _number(documents: Iterable[Document]) -> Iterator[Located]:
    return ((f"document {number}", document) for number, document in enumerate(documents, 1))

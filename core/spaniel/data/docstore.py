"""Building document stores: staged as documents come, sorted by SQLite, in bounded memory."""

from __future__ import annotations

import errno
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from spaniel import __version__
from spaniel.data.document import Document
from spaniel.data.faults import Faults, OnError, check_id, check_metadata, check_text
from spaniel.errors import ArtifactError, UsageError
from spaniel.store import Draft, Need, Recipe, canonical_json

FILE = "corpus.sqlite"
LAYOUT = "1"
"""Version of the document store's layout; part of every corpus's recipe."""
COMMIT = 20_000
"""Documents between two commits; a build that was killed loses at most so many."""
_TELL = 20
"""Documents between two words about the progress."""
CACHE = 64 * 2**20
"""Bytes that SQLite may use to sort; the rest goes through temporary files."""
_STAGED = "staged.sqlite"
_SORTED = "sorted"
_COLUMNS = "id TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL"

SCHEMA = {
    "documents": f"CREATE TABLE documents (row INTEGER PRIMARY KEY, {_COLUMNS})",
    "by_id": "CREATE UNIQUE INDEX by_id ON documents (id)",
    "facts": "CREATE TABLE facts (json TEXT NOT NULL)",
}
"""All that a document store's file holds: name → how it was made."""

Located = tuple[str, Document]
"""A document with the place that it was read from, for messages."""


def corpus_need(
    read: Callable[[Faults], Iterator[Located]],
    component: str,
    inputs: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
    on_error: OnError = "fail",
    version: str = __version__,
) -> Need:
    """Name the document store of documents that are read from somewhere.

    Args:
        read: starts reading from the beginning; yields documents with their places, reports to the faults what it
            leaves out, and gives the same each time.
        component: who reads them.
        inputs: digests of what is read.
        config: what else decides what is read.
        on_error: ``"skip"`` counts and leaves out what is malformed; of documents with one id the first is kept.
        version: version of the distribution that reads them.

    Raises:
        UsageError: ``on_error`` is something else.
    """
    Faults(on_error)
    options = {"layout": LAYOUT, "on_error": on_error, **(config or {})}

    def build(draft: Draft) -> None:
        faults = Faults(on_error)
        build_store(read(faults), draft, faults)

    return Need(Recipe("corpus", component, version, options, None, inputs), build)


def documents_need(
    read: Callable[[], Iterator[Document]], component: str, inputs: Mapping[str, str], version: str = __version__
) -> Need:
    """Name the document store of documents that some code makes; see :func:`corpus_need`."""
    return corpus_need(lambda faults: number_documents(read()), component, inputs, version=version)


def number_documents(documents: Iterable[Document]) -> Iterator[Located]:
    """Give documents that come from no file their numbers as places."""
    return ((f"document {number}", document) for number, document in enumerate(documents, 1))


def build_store(documents: Iterator[Located], draft: Draft, faults: Faults) -> None:
    """Write a document store into a draft.

    A build that was killed while staging reads the source again but goes on after what is staged; one that was killed
    after sorting has nothing left to do. ``draft.info`` gets the numbers of documents, characters, empty documents, and
    of what was left out, with the first messages.

    Raises:
        UsageError: a document is malformed, or its id comes twice, and the faults are not to be skipped.
        ArtifactError: what an earlier attempt staged is damaged.
        OSError: the disk is full or failing.
    """
    staged, target = draft.path / _STAGED, draft.file(FILE)
    with _translated(staged):
        if not draft.done(_SORTED):
            advance = draft.progress(None, "documents")
            try:
                _stage(_told(_checked(documents, faults), advance), staged)
            except UsageError:
                staged.unlink(missing_ok=True)
                raise
            facts = _sort(staged, target, faults)
            with closing(sqlite3.connect(target)) as store, store:
                store.execute(SCHEMA["facts"])
                store.execute("INSERT INTO facts VALUES (?)", (json.dumps(facts),))
            draft.finish(_SORTED, target)
        staged.unlink(missing_ok=True)
        with closing(sqlite3.connect(target)) as store:
            draft.info.update(json.loads(store.execute("SELECT json FROM facts").fetchone()[0]))


def _stage(records: Iterator[tuple[str, ...]], staged: Path) -> None:
    with closing(sqlite3.connect(staged)) as database:
        database.execute(f"CREATE TABLE IF NOT EXISTS staged (number INTEGER PRIMARY KEY, place TEXT, {_COLUMNS})")
        (count,) = database.execute("SELECT count(*) FROM staged").fetchone()
        for _ in islice(records, count):
            pass
        made = 1
        while made:
            # Streamed, since so many megabyte documents would not fit into memory.
            cursor = database.executemany(
                "INSERT INTO staged (place, id, title, text, metadata) VALUES (?, ?, ?, ?, ?)", islice(records, COMMIT)
            )
            database.commit()
            made = max(cursor.rowcount, 0)


def _told(records: Iterator[tuple[str, ...]], advance: Callable[[int], None]) -> Iterator[tuple[str, ...]]:
    """Tell of records some at a time, long before they are committed: a page of PDF takes a while."""
    number = 0
    for number, record in enumerate(records, 1):
        if number % _TELL == 0:
            advance(_TELL)
        yield record
    advance(number % _TELL)


def _sort(staged: Path, target: Path, faults: Faults) -> dict[str, Any]:
    target.unlink(missing_ok=True)
    digest, last_id, last_place = hashlib.sha256(), None, ""
    facts = dict.fromkeys(("documents", "characters", "empty"), 0)

    def rows(source: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
        nonlocal last_id, last_place
        sql = "SELECT place, id, title, text, metadata FROM staged ORDER BY id COLLATE BINARY DESC, number"
        for place, name, title, text, metadata in source.execute(sql):
            if name == last_id:
                problem = f"the document id {name!r} comes twice; it was at {last_place} before"
                faults.report(place, problem, duplicate=True)
                continue
            last_id, last_place = name, place
            digest.update(canonical_json([name, title, text, metadata]) + b"\n")
            yield facts["documents"], name, title, text, metadata
            facts["documents"] += 1
            facts["characters"] += len(title) + len(text)
            facts["empty"] += not (title or text)

    with closing(sqlite3.connect(staged)) as source, closing(sqlite3.connect(target)) as store:
        source.execute(f"PRAGMA cache_size = -{CACHE // 1024}")
        store.execute(f"PRAGMA cache_size = -{CACHE // 1024}")
        # Nothing reads this file before it is whole: draft.finish waits until it is on disk.
        store.execute("PRAGMA journal_mode = OFF")
        store.execute("PRAGMA synchronous = OFF")
        store.execute(SCHEMA["documents"])
        store.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", rows(source))
        store.execute(SCHEMA["by_id"])
        store.commit()
    left_out = {"skipped": faults.count, "duplicates": faults.duplicates, "first_skipped": faults.first}
    return {**facts, "digest": digest.hexdigest(), **left_out, **faults.facts}


def _checked(documents: Iterator[Located], faults: Faults) -> Iterator[tuple[str, str, str, str, str]]:
    for place, (name, title, text, metadata) in documents:
        problem = check_id(name) or check_text(title) or check_text(text) or check_metadata(metadata)
        if problem:
            faults.report(place, problem)
        else:
            yield place, name, title, text, json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True)


@contextmanager
def _translated(staged: Path) -> Iterator[None]:
    """Turn SQLite's errors into those of the disk, which the store explains, and of damage."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, f"no space to sort documents ({error})", str(staged)) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise OSError(errno.EIO, str(error), str(staged)) from error
        if code == sqlite3.SQLITE_TOOBIG:
            raise UsageError("a document is larger than SQLite can hold, about a thousand million bytes") from error
        staged.unlink(missing_ok=True)
        raise ArtifactError(staged, f"was damaged ({error}) and is removed; build again") from error

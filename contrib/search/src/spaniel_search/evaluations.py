"""The evaluation cache: what candidates scored, across walks and sessions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spaniel import ArtifactError
from spaniel.store import canonical_json, digest_bytes

_PATIENCE = 30.0
"""Seconds that one process waits for another to finish writing."""


class Evaluations:
    """Scores by the digest of candidate, data, effort and seed, in one SQLite file that several processes may use.

    What is put here outlives a kill of the process. Failures are not kept: what failed may work another time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None

    @staticmethod
    def key(identity: str, candidate: str, effort: float, seed: int) -> str:
        """Return the key of an evaluation.

        Args:
            identity: digest of the data, the measure, and all else that decides a score beside the candidate.
            candidate: digest of the candidate.
            effort: share of the full effort.
            seed: the session's seed.
        """
        return digest_bytes(canonical_json([identity, candidate, effort, seed]))

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was put under a key, or ``None``."""
        with self._open() as database:
            row = database.execute("SELECT value FROM evaluations WHERE key = ?", (key,)).fetchone()
            return None if row is None else json.loads(row[0])

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keep what a candidate scored."""
        with self._open() as database, database:
            text = json.dumps(value, allow_nan=False)
            database.execute("INSERT OR REPLACE INTO evaluations VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._database is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._database = sqlite3.connect(self.path, timeout=_PATIENCE)
                # A log written ahead is safe against kills and, without a sync for each score, still whole after a
                # power cut.
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=NORMAL")
                with self._database as database:
                    database.execute(
                        "CREATE TABLE IF NOT EXISTS evaluations (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
                    )
            yield self._database
        except (sqlite3.Error, OSError, ValueError) as error:
            self.close()
            way = "it holds nothing that cannot be computed again: remove it if it is damaged"
            raise ArtifactError(self.path, f"the evaluation cache cannot be used ({error}); {way}") from error

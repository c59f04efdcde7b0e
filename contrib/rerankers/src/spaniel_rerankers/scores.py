"""Scores of pairs by content, kept in the store: no pair is scored twice by one model with one set of options."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError
from spaniel.store import Store, canonical_json, digest_bytes

if TYPE_CHECKING:
    from typing import Any

FOLDER = "scores"
_ASK = 20_000
_PATIENCE = 60.0
_TABLE = "CREATE TABLE IF NOT EXISTS scores (key INTEGER PRIMARY KEY, proof INTEGER NOT NULL, score REAL NOT NULL)"


def pair_keys(queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """Return what tells pairs apart: ``(n, 2)`` int64, a digest of 128 bits over both texts."""
    begun: dict[str, Any] = {}
    made = bytearray()
    for query, text in zip(queries, texts, strict=True):
        if query not in begun:
            data = query.encode("utf-8", "surrogatepass")
            begun[query] = hashlib.blake2b(len(data).to_bytes(8, "big") + data, digest_size=16)
        digest = begun[query].copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        made += digest.digest()
    return np.frombuffer(bytes(made), np.int64).reshape(-1, 2)


class ScoreCache:
    """The scores of one scorer, in a SQLite file beside the store's artifacts.

    Half of a pair's digest finds its score, the other half proves that it is its own. Each :meth:`put` is one
    transaction, so that what was put outlives a kill; several processes may read and write at once. It is made for many
    small additions, such as those of an interactive search; whole lists of vectors are :mod:`spaniel_neural.content`'s.

    Args:
        store: where it is kept.
        identity: all that decides a score beside the pair: digest of the model, options. JSON.
    """

    def __init__(self, store: Store, identity: Any) -> None:
        self.path: Path = store.root / FOLDER / f"{digest_bytes(canonical_json(identity))[:40]}.sqlite"

    def get(self, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of pairs, ``(n,)`` float32, NaN where there is none.

        Raises:
            ArtifactError: the file is damaged.
        """
        scores = np.full(len(keys), np.nan, np.float32)
        if not len(keys) or not self.path.is_file():
            return scores
        wanted, place = np.unique(keys[:, 0], return_inverse=True)
        proofs = np.zeros(len(wanted), np.int64)
        found = np.full(len(wanted), np.nan)
        try:
            with closing(self._connect()) as connection:
                for start in range(0, len(wanted), _ASK):
                    asked = wanted[start : start + _ASK]
                    rows = connection.execute(
                        "SELECT key, proof, score FROM (SELECT value FROM json_each(?)) JOIN scores ON key = value",
                        (json.dumps(asked.tolist()),),
                    ).fetchall()
                    if rows:
                        at = np.searchsorted(wanted, np.array([row[0] for row in rows], np.int64))
                        proofs[at] = np.array([row[1] for row in rows], np.int64)
                        found[at] = [row[2] for row in rows]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise ArtifactError(self.path, f"cannot be read ({error}); try again, or remove it") from error
            return scores  # made by a process that was killed before its first transaction
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            raise self._damaged(error) from error
        own = proofs[place] == keys[:, 1]
        scores[own] = found[place][own]
        return scores

    def put(self, keys: NDArray[np.int64], scores: NDArray[np.float32]) -> bool:
        """Keep the scores of pairs; return whether they could be: a store that cannot be written keeps none.

        Raises:
            ArtifactError: the file is damaged.
        """
        rows = zip(keys[:, 0].tolist(), keys[:, 1].tolist(), scores.tolist(), strict=True)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute(_TABLE)
                connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)
        except (OSError, sqlite3.OperationalError):
            return False
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return True

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(os.fspath(self.path), timeout=_PATIENCE)

    def _damaged(self, error: Exception) -> ArtifactError:
        return ArtifactError(self.path, f"is damaged ({error}); remove it: its scores are computed again")

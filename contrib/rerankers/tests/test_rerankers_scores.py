"""The cache of scores: exact, shared by processes, and unharmed by kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spaniel import ArtifactError
from spaniel.store import Store
from spaniel_rerankers.scores import ScoreCache, pair_keys

WRITER = """
import sys
import numpy as np
from spaniel.store import Store
from spaniel_rerankers.scores import ScoreCache, pair_keys
cache, first, blocks = ScoreCache(Store(sys.argv[1]), "model"), int(sys.argv[2]), int(sys.argv[3])
for block in range(first, first + blocks):
    texts = [f"text {number}" for number in range(50 * block, 50 * block + 50)]
    assert cache.put(pair_keys(["query"] * 50, texts), np.arange(50 * block, 50 * block + 50, dtype=np.float32))
    print(block, flush=True)
"""


def keys_of(count: int, start: int = 0) -> np.ndarray:
    return pair_keys(["query"] * count, [f"text {number}" for number in range(start, start + count)])


def start_writer(store: Path, first: int, blocks: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(store), str(first), str(blocks)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, encoding="utf-8", env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_scores_come_back_to_the_last_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = (rng.standard_normal(30_000) * 10.0 ** rng.integers(-30, 30, 30_000)).astype(np.float32)
    keys, cache = keys_of(30_000), ScoreCache(Store(tmp_path), {"model": "a"})
    assert np.isnan(cache.get(keys)).all()
    assert cache.put(keys, scores)
    order = rng.permutation(30_000)
    again = ScoreCache(Store(tmp_path), {"model": "a"})
    assert np.array_equal(again.get(keys[order]), scores[order])
    assert np.isnan(again.get(keys_of(100, 30_000))).all()
    assert np.isnan(ScoreCache(Store(tmp_path), {"model": "b"}).get(keys)).all()
    assert again.get(keys[:0]).shape == (0,)


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), unique=True, min_size=1, max_size=30))
def test_other_pairs_have_other_keys(pairs: list[tuple[str, str]]) -> None:
    keys = pair_keys([query for query, _ in pairs], [text for _, text in pairs])
    assert keys.shape == (len(pairs), 2)
    assert len(np.unique(keys, axis=0)) == len(pairs)
    assert np.array_equal(pair_keys(*zip(*pairs[::-1], strict=True)), keys[::-1])


def test_a_key_that_collides_is_no_score(tmp_path: Path) -> None:
    cache = ScoreCache(Store(tmp_path), "model")
    keys = keys_of(2)
    cache.put(keys, np.array([1, 2], np.float32))
    forged = keys.copy()
    forged[0, 1] += 1
    assert np.isnan(cache.get(forged)[0])
    assert cache.get(forged)[1] == 2
    cache.put(forged[:1], np.array([3], np.float32))
    assert cache.get(forged)[0] == 3


def test_processes_write_at_once(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, first, 10) for first in (0, 10, 20)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    for writer in writers:
        writer.communicate()
    assert np.array_equal(ScoreCache(Store(tmp_path), "model").get(keys_of(1500)), np.arange(1500, dtype=np.float32))


def test_what_was_put_outlives_a_kill(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, 0, 100_000)
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(5)]
    time.sleep(0.02)
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.communicate()[0].split()]
    held = 50 * (max(told) + 1)
    cache = ScoreCache(Store(tmp_path), "model")
    assert np.array_equal(cache.get(keys_of(held)), np.arange(held, dtype=np.float32))
    assert cache.put(keys_of(1), np.array([7], np.float32))
    assert cache.get(keys_of(1))[0] == 7


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cache = ScoreCache(Store(tmp_path), "model")
    cache.put(keys_of(5000), np.zeros(5000, np.float32))
    content = bytearray(cache.path.read_bytes())
    content[:64] = os.urandom(64)
    cache.path.write_bytes(content)
    for act in (lambda: cache.get(keys_of(3)), lambda: cache.put(keys_of(3), np.zeros(3, np.float32))):
        with pytest.raises(ArtifactError, match=f"{cache.path.name}.*remove it"):
            act()


def test_a_store_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, where the folder should be")
    cache = ScoreCache(Store(tmp_path / "store"), "model")
    assert not cache.put(keys_of(2), np.zeros(2, np.float32))
    assert np.isnan(cache.get(keys_of(2))).all()


def test_a_lookup_reads_only_what_is_asked(tmp_path: Path) -> None:
    """The plan of the one query goes by the primary key, whatever the size of the table."""
    cache = ScoreCache(Store(tmp_path), "model")
    cache.put(keys_of(10), np.zeros(10, np.float32))
    with sqlite3.connect(cache.path) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT key, proof, score FROM (SELECT value FROM json_each('[1]')) JOIN scores ON key = value"
        ).fetchall()
    assert any("INTEGER PRIMARY KEY (rowid=?)" in row[3] for row in plan)

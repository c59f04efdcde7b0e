"""BM25 indexes that were sent by others: what they hold is looked through; those of engines are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import ArtifactError, Context, Corpus, Document
from spaniel.indexing import index_need
from spaniel.store import Artifact


def built(context: Context, expression: str = "bm25") -> tuple[Any, Artifact]:
    corpus = Corpus.from_documents(Document(f"d{i}", "", f"flat tyre number{i % 7} word{i}") for i in range(60))
    artifact = context.obtain(index_need(context, expression, corpus.need))
    return context.create("index", expression), artifact


def rewrite(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        np.save(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")))

    return work


def words(change: Callable[[list[Any]], Any]) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        file = folder / "vocabulary.json"
        file.write_text(json.dumps(change(json.loads(file.read_text()))))

    return work


HOSTILE: dict[str, Callable[[Path], None]] = {
    "absent": rewrite("absent", lambda a: a[:-1]),
    "absent NaN": rewrite("absent", lambda a: a * np.float32(np.nan)),
    "absent below 0": rewrite("absent", lambda a: a - 1),
    "absent of 8 bytes": rewrite("absent", lambda a: a.astype(np.float64)),
    "occurrences": rewrite("occurrences", lambda a: a[1:]),
    "occurrences of 0": rewrite("occurrences", lambda a: a * 0),
    "indices": rewrite("indices", lambda a: a + 10**6),
    "data": rewrite("data", lambda a: -a),
    "vocabulary too short": words(lambda v: v[:-1]),
    "vocabulary of one word": words(lambda v: [v[0]] * len(v)),
    "vocabulary of numbers": words(lambda v: list(range(len(v)))),
    "vocabulary no list": words(lambda v: dict.fromkeys(v, 1)),
    "vocabulary deep": lambda folder: (folder / "vocabulary.json").write_text("[" * 10**5 + "]" * 10**5) and None,
    "vocabulary cut off": lambda folder: (folder / "vocabulary.json").write_text('["a", ') and None,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_contents_are_refused(tmp_path: Path, what: str) -> None:
    indexer, artifact = built(Context(tmp_path / "store"))
    indexer.check(artifact)
    copy = replace(artifact, path=tmp_path / "copy")
    shutil.copytree(artifact.path, copy.path)
    HOSTILE[what](copy.path)
    with pytest.raises(ArtifactError, match=what.split()[0]):
        indexer.check(copy)


@pytest.mark.parametrize("documents", [3, -1, 2**40, None, "60", True])
def test_another_number_of_documents_is_refused(tmp_path: Path, documents: Any) -> None:
    indexer, artifact = built(Context(tmp_path / "store"))
    with pytest.raises(ArtifactError):
        indexer.check(replace(artifact, info={**artifact.info, "documents": documents}))


def test_an_index_of_tantivy_that_was_sent_is_opened_where_its_sender_is_trusted_alone(tmp_path: Path) -> None:
    pytest.importorskip("tantivy")
    here, there = Context(tmp_path / "here"), Context(tmp_path / "there")
    indexer, artifact = built(here, "tantivy")
    here.store.export(artifact.address, tmp_path / "index.tar")
    with pytest.raises(ArtifactError, match="--trust"):
        there.store.import_(tmp_path / "index.tar", lambda found: indexer.check(found) or "")
    there.store.import_(tmp_path / "index.tar", trust=True)
    assert len(indexer.open(there.store.open(artifact.address))) == 60


def test_forged_files_of_tantivy_are_no_panic(tmp_path: Path) -> None:
    pytest.importorskip("tantivy")
    indexer, artifact = built(Context(tmp_path / "store"), "tantivy")
    rng = np.random.default_rng(0)
    refused = 0
    for attempt in range(20):
        copy = replace(artifact, path=tmp_path / str(attempt))
        shutil.copytree(artifact.path, copy.path)
        file = sorted((copy.path / "tantivy").iterdir())[attempt % len(list((copy.path / "tantivy").iterdir()))]
        content = bytearray(file.read_bytes())
        for place in rng.integers(0, len(content), 1 + len(content) // 20):
            content[place] ^= 0xFF
        file.unlink()
        file.write_bytes(content)
        try:
            indexer.open(copy)
        except ArtifactError:
            refused += 1
    assert refused

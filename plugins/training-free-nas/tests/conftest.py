"""A small collection, and sessions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from spaniel import Context

DATA = Path(os.environ.get("SPANIEL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A session on the CPU with a store of its own."""
    return Context(tmp_path / "store", device="cpu", offline=True)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small collection in BEIR layout."""
    folder = tmp_path_factory.mktemp("texts")
    words = ["the", "cat", "of", "river", "sails", "in", "winter", "bread", "and", "salt", "shine", "water", "ship"]
    lines = []
    for number in range(40):
        text = " ".join(words[(number * 7 + at * (1 + number % 5)) % len(words)] for at in range(8 + number % 9))
        lines.append(json.dumps({"_id": f"d{number}", "title": "", "text": f"{text} {number}."}))
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "the cat"}) + "\n", encoding="utf-8")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def benchmark_folder() -> Path:
    """The published benchmark, where the tests are given it."""
    folder = DATA / "nas-flexibert"
    if not folder.is_dir():
        pytest.skip("nas-flexibert is not in the test data (SPANIEL_TEST_DATA)")
    return folder

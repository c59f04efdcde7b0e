"""A small collection, sessions, and where published data are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spaniel import Context

SENTENCE = "the cat of river sails in winter bread and salt shine water ship north wind letter stone green old"
WORDS = SENTENCE.split()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A session on the CPU with a store of its own."""
    return Context(tmp_path / "store", device="cpu", offline=True)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small collection in BEIR layout."""
    folder = tmp_path_factory.mktemp("texts")
    lines = []
    for number in range(40):
        text = " ".join(WORDS[(number * 7 + at * (1 + number % 5)) % len(WORDS)] for at in range(8 + number % 9))
        lines.append(json.dumps({"_id": f"d{number}", "title": "", "text": f"{text} {number}."}))
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "the cat"}) + "\n", encoding="utf-8")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n", encoding="utf-8")
    return folder

"""Builds that are killed: no document is analyzed twice that lies in a finished part, and what comes out is the same."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context, Corpus, Document
from spaniel.indexing import index_need
from spaniel.store import Artifact, Draft
from spaniel_bm25 import tantivy_indexer, tokens

DOCUMENTS = 95


def need_of(context: Context, log: Path, kill_after: int = 0, name: str = "bm25") -> Any:
    """The need of an index; who analyzes writes down how many documents, and dies before the part that is named."""
    corpus = Corpus.from_documents(
        Document(f"d{i:03d}", "", f"flat tyre number{i % 7} word{i}") for i in range(DOCUMENTS)
    )
    indexer: Any = context.create("index", name)
    analyze = indexer.analyzer.analyze

    class Logged:
        def fingerprint(self) -> Any:
            return {}

        def analyze(self, texts: list[str]) -> Any:
            if kill_after and log.exists() and len(log.read_text().split()) == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            with log.open("a") as file:
                file.write(f"{len(texts)} ")
            return analyze(texts)

    need = index_need(context, name, corpus.need)
    indexer.__dict__["analyzer"] = Logged()
    return replace(need, build=lambda draft: indexer.build(corpus, draft))


def contents(artifact: Artifact) -> dict[str, bytes]:
    return {name: artifact.file(name).read_bytes() for name in artifact.files}


@pytest.mark.parametrize("kill_after", [1, 2, 4])
def test_a_build_that_is_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_after: int) -> None:
    monkeypatch.setattr(tokens, "PART", 20)
    log = tmp_path / "log"
    child = os.fork()
    if not child:
        Context(tmp_path / "store").obtain(need_of(Context(tmp_path / "store"), log, kill_after))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    context = Context(tmp_path / "store")
    artifact = context.obtain(need_of(context, log))
    assert sum(map(int, log.read_text().split())) == DOCUMENTS, "no document was analyzed twice"
    assert not any("tokens" in name for name in artifact.files)
    whole = Context(tmp_path / "other")
    assert contents(artifact) == contents(whole.obtain(need_of(whole, tmp_path / "other.log")))
    assert artifact.info["documents"] == DOCUMENTS


def test_a_build_that_is_killed_once_all_is_written_goes_on(tmp_path: Path) -> None:
    context, log = Context(tmp_path / "store"), tmp_path / "log"
    need = need_of(context, log)
    whole = context.obtain(need_of(Context(tmp_path / "store"), log))
    draft = Draft(tmp_path / "draft")
    (tmp_path / "draft").mkdir()
    need.build(draft)
    analyzed = log.read_text()
    again = Draft(tmp_path / "draft")
    need.build(again)
    assert log.read_text() == analyzed
    assert again.info == draft.info == dict(whole.info)
    shutil.rmtree(tmp_path / "draft")


@pytest.mark.parametrize("kill_after", [1, 3])
def test_a_build_of_tantivy_that_is_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_after: int
) -> None:
    pytest.importorskip("tantivy")
    monkeypatch.setattr(tantivy_indexer, "PART", 20)
    log = tmp_path / "log"
    child = os.fork()
    if not child:
        Context(tmp_path / "store").obtain(need_of(Context(tmp_path / "store"), log, kill_after, "tantivy"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    context, other = Context(tmp_path / "store"), Context(tmp_path / "other")
    artifact = context.obtain(need_of(context, log, name="tantivy"))
    assert sum(map(int, log.read_text().split())) == DOCUMENTS, "no document was analyzed twice"
    whole = other.obtain(need_of(other, tmp_path / "other.log", name="tantivy"))
    found = [
        context.create("index", "tantivy").open(one).search(["flat number3 word17"], 200) for one in (artifact, whole)
    ]
    assert found[0] == found[1]
    assert len(found[0].rows) == DOCUMENTS

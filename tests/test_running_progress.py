"""Bars on a terminal, a batch at a time; loading that is no part of a search's time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Component, Context, Corpus, Document, Queries, Run, hookimpl
from spaniel.data import DenseVectors
from spaniel.encoding import corpus_vectors, encode_queries
from spaniel.observe import ProgressBars, loaded_property
from spaniel.pipeline.run import run_pipeline
from spaniel.plugins import Registry
from spaniel.rerank import PointwiseReranker

HERE = __name__
SLOW = """
import time
import numpy as np
from spaniel import Component, hookimpl
from spaniel.data import DenseVectors


class Slow:
    def __init__(self, config, context):
        self.context = context

    def fingerprint(self, role):
        return {}

    def encode(self, texts, role, metadata=None):
        for start in range(0, len(texts), 64):
            time.sleep(0.1 if role == "document" else 0)
            self.context.finished(len(texts[start : start + 64]))
        return {"dense": DenseVectors(np.array([[len(t), 1] for t in texts], np.float32).reshape(-1, 2))}


@hookimpl
def encode():
    yield Component("slow", factory="slow_plugin:Slow", summary="tells of its batches", gives=("dense",))
"""


def on_a_terminal(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[str, str, int]:
    """Run a program whose standard error is a terminal; return what it wrote there, its output, and its exit code."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        arguments, stderr=theirs, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, **env}
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # Linux says so at the end
            break
        if not read:
            break
        written += read
    os.close(ours)
    assert process.stdout is not None
    return written.decode(), process.stdout.read().decode(), process.wait()


@pytest.fixture
def slow(tmp_path: Path) -> Any:
    pytest.importorskip("spaniel_dense", reason="vectors are searched by its index")
    (tmp_path / "slow_plugin.py").write_text(SLOW)
    data = tmp_path / "data"
    data.mkdir()
    lines = [json.dumps({"_id": f"d{i}", "title": "", "text": f"alpha {i}"}) for i in range(1400)]
    (data / "corpus.jsonl").write_text("\n".join(lines) + "\n")

    asked = ["dense(encoder=slow)", str(data), "alpha 3", "--json"]
    arguments = [sys.executable, "-m", "spaniel", "--plugin", str(tmp_path / "slow_plugin.py"), "search", *asked]
    return arguments, {
        "SPANIEL_STORE": str(tmp_path / "store"),
        "SPANIEL_CONFIG": str(tmp_path / "config"),
        "COLUMNS": "100",
    }


def test_encoding_is_shown_a_batch_at_a_time(slow: Any) -> None:
    arguments, env = slow
    written, output, code = on_a_terminal(arguments, env)
    assert code == 0
    assert json.loads(output)["hits"]
    told = {int(done) for done in re.findall(r"vectors slow-plugin/slow:.*?(\d+)/1400", written)}
    assert len(told) > 3, "more than one a shard of 1,024"
    assert any(0 < done < 1024 for done in told)


@pytest.mark.slow
def test_a_pipe_stays_silent(slow: Any) -> None:
    arguments, env = slow
    done = subprocess.run(arguments, env={**os.environ, **env}, capture_output=True, text=True, check=True)
    assert "%|" not in done.stderr
    assert "vectors" not in done.stderr


def test_a_stage_that_tells_nothing_is_shown_after_a_while(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    context.registry.observe(ProgressBars(after=0.2))
    with context.stage("short", 5, "things"):
        context.advance(1)
    assert capsys.readouterr().err == ""
    with context.stage("known", 5, "things"), context.stage("unknown"), context.stage("load it", phase="load"):
        time.sleep(0.8)
    shown = capsys.readouterr().err
    assert "known:   0%" in shown
    assert "load it: 00:00" in shown
    assert "unknown" not in shown, "of stages of unknown length the innermost one is shown"


# Loading.

NAP = 0.3


class Retriever:
    """Whose constructor takes its time."""

    def __init__(self, config: None, context: Context) -> None:
        time.sleep(NAP)

    def needs(self, corpus: Any) -> Sequence[Any]:
        return ()

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        return Run.from_lists([[(row, 1.0) for row in range(len(corpus))] for _ in queries.ids])


class Lazy(PointwiseReranker):
    """Whose model is loaded when it is first asked for."""

    @loaded_property
    def model(self) -> float:
        time.sleep(NAP)
        return 2.0

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        return np.full(len(texts), self.model, np.float32)


class Encoder:
    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def fingerprint(self, role: str) -> Mapping[str, str]:
        return {}

    def encode(self, texts: Sequence[str], role: str, metadata: Any = None) -> Mapping[str, DenseVectors]:
        for start in range(0, len(texts), 100):
            self.context.finished(min(100, len(texts) - start) - 1)  # one of each batch is a duplicate
        return {"dense": DenseVectors(np.ones((len(texts), 2), np.float32))}


class Plugin:
    @hookimpl
    def encode(self) -> Iterator[Component]:
        yield Component("ones", factory=f"{HERE}:Encoder", summary="ones", gives=("dense",))

    @hookimpl
    def retrieve(self) -> Iterator[Component]:
        yield Component("all", factory=f"{HERE}:Retriever", summary="every document")

    @hookimpl
    def rerank(self) -> Iterator[Component]:
        yield Component("lazy", factory=f"{HERE}:Lazy", summary="loads late")


class Progress:
    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    @hookimpl
    def stage_progress(self, stage: Any, done: int) -> None:
        self.told.append((stage.name, done))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    from spaniel import builtin

    registry = Registry()
    registry.register(builtin, "core", "spaniel", "0")
    registry.register(Plugin(), "tests")
    return Context(tmp_path / "store", registry=registry)


QUERIES = Queries.from_lists(["q1"], ["a"])


def test_loading_is_no_part_of_a_search(context: Context) -> None:
    corpus = Corpus.from_documents([Document("d1", "", "a"), Document("d2", "", "b")])
    outcome = run_pipeline(context, context.pipeline("all >> lazy"), QUERIES, corpus)
    assert all(stage.seconds < NAP / 2 for stage in outcome.stages)
    assert context.loading >= 2 * NAP
    assert outcome.stages[1].loading >= NAP
    loaded = context.loading
    # The second search of a session costs what the first one did.
    other = Queries.from_lists(["q2"], ["b"])
    again = run_pipeline(context, context.pipeline("all >> lazy"), other, corpus)
    assert context.loading == loaded
    assert [stage.loading for stage in again.stages] == [0, 0]


def test_batches_are_told_to_whoever_follows(context: Context) -> None:
    seen = Progress()
    context.registry.observe(seen)
    corpus = Corpus.from_documents(Document(f"d{i}", "", "a") for i in range(1250))
    corpus_vectors(context, "ones", corpus.need, "dense")
    told = [done for name, done in seen.told if name.startswith("vectors")]
    assert sum(told) == 1250
    assert max(told) == 99
    seen.told.clear()
    encode_queries(context, "ones", Queries.from_lists([str(i) for i in range(250)], ["a"] * 250))
    assert sum(done for name, done in seen.told if name.startswith("encode queries")) == 250


def test_nobody_is_told_of_batches_that_nobody_follows(context: Context) -> None:
    seen = Progress()
    context.registry.observe(seen)
    with context.stage("outer", 10), context.following(10, context.advance):
        context.finished(4)
        with context.stage("inner", 3):
            context.finished(3)
    assert seen.told == [("outer", 4), ("outer", 6)]

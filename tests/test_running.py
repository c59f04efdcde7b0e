"""Running: shared prefixes, costs, observers, encoded corpora that resume; the commands as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spaniel as package
from click.testing import CliRunner
from pydantic import Field
from spaniel import (
    ArtifactError,
    Component,
    Config,
    Context,
    Corpus,
    Document,
    PluginError,
    Qrels,
    Queries,
    Run,
    UsageError,
    hookimpl,
)
from spaniel.cli.main import main
from spaniel.context import blame
from spaniel.data import DenseVectors
from spaniel.encoding import corpus_vectors, vectors_need
from spaniel.plugins import Registry
from spaniel.rerank import PointwiseReranker

HERE = __name__
CALLS: list[str] = []


class First:
    """Retrieves every document, scored by the number of words that it shares with the query."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def needs(self, corpus: Any) -> Sequence[Any]:
        return ()

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        CALLS.append("first")
        self.context.count("model calls", len(queries))
        texts = corpus.contents(range(len(corpus)))
        shared = [[(row, len(set(q.split()) & set(t.split()))) for row, t in enumerate(texts)] for q in queries.texts]
        return Run.from_lists(shared)


class Length(PointwiseReranker):
    """Prefers short documents."""

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        CALLS.append("length")
        return np.array([-len(text) for text in texts], np.float32)


class Broken:
    def __init__(self, config: None, context: Context) -> None:
        pass

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        raise RuntimeError("boom")


class Wrong(Broken):
    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        return run.select([0])


class Letters:
    """Encodes a text by its letters, and can be told to die."""

    dies_at = -1
    encoded = 0

    def __init__(self, config: None, context: Context) -> None:
        pass

    def fingerprint(self, role: str) -> Mapping[str, str]:
        return {}

    def encode(self, texts: Sequence[str], role: str, metadata: Any = None) -> Mapping[str, DenseVectors]:
        if Letters.dies_at == Letters.encoded:
            raise KeyboardInterrupt
        Letters.encoded += 1
        counts = np.array([[t.count(c) for c in "abcdefgh"] for t in texts], np.float32).reshape(-1, 8)
        return {"dense": DenseVectors(counts)}


class Plugin:
    @hookimpl
    def encode(self) -> Iterator[Component]:
        yield Component("letters", factory=f"{HERE}:Letters", summary="letters", gives=("dense",))

    @hookimpl
    def retrieve(self) -> Iterator[Component]:
        yield Component("first", factory=f"{HERE}:First", summary="shared words")

    @hookimpl
    def rerank(self) -> Iterator[Component]:
        yield Component("length", factory=f"{HERE}:Length", summary="short first")
        yield Component("broken", factory=f"{HERE}:Broken", summary="raises")
        yield Component("wrong", factory=f"{HERE}:Wrong", summary="returns another run")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    from spaniel import builtin

    registry = Registry()
    registry.register(builtin, "core", "spaniel", "0")
    registry.register(Plugin(), "tests")
    CALLS.clear()
    Letters.dies_at, Letters.encoded = -1, 0
    return Context(tmp_path / "store", registry=registry)


@pytest.fixture
def corpus() -> Corpus:
    return Corpus.from_documents(Document(f"d{i}", "", " ".join("abcdefgh"[: i + 1])) for i in range(8))


QUERIES = Queries.from_lists(["q1", "q2"], ["a b c", "h"])


def test_a_prefix_that_pipelines_share_is_computed_once(context: Context, corpus: Corpus) -> None:
    for text in ("first", "first >> length", "rrf(first, first >> length)", "0.5 * first + 0.5 * (first >> length)"):
        context.run(text, QUERIES, corpus)
    assert CALLS.count("first") == 1
    assert CALLS.count("length") == 1


def test_other_queries_are_another_run(context: Context, corpus: Corpus) -> None:
    context.run("first", QUERIES, corpus)
    context.run("first", QUERIES.select([0]), corpus)
    assert CALLS.count("first") == 2


def test_shared_work_is_charged_to_every_system(context: Context, corpus: Corpus) -> None:
    from spaniel.pipeline.run import run_pipeline

    alone = run_pipeline(context, context.pipeline("first"), QUERIES, corpus)
    fused = run_pipeline(context, context.pipeline("rrf(first, first % 3)"), QUERIES, corpus)
    assert alone.stages[0].counts["model calls"] == 2
    assert fused.stages[0].counts["model calls"] == 2, "what a stage asks for twice it would do once"
    assert fused.stages[0].seconds >= alone.stages[0].seconds
    fresh = context.reseeded(0)
    assert run_pipeline(fresh, fresh.pipeline("rrf(first, first % 3)"), QUERIES, corpus).stages[0].counts == {
        "model calls": 2
    }


def test_what_is_remembered_is_charged_once_a_stage(context: Context) -> None:
    def make() -> str:
        context.count("texts encoded", 5)
        time.sleep(0.02)
        return "vectors"

    def outer() -> str:
        context.count("pairs scored", 1)
        return context.remember("inner", make)

    for first in (True, False):
        with context.stage("rounds") as stage:
            for _ in range(4):
                with context.stage("round") as one:
                    assert context.remember("outer", outer) == "vectors"
                    assert context.remember("inner", make) == "vectors"
                    assert one.cost == {"texts encoded": 5, "pairs scored": 1}
        assert stage.cost == {"texts encoded": 5, "pairs scored": 1}
        # The work took place in the first stage's own time; the second would have had to do it.
        assert (stage.replayed == 0) == first
        assert first or 0.02 <= stage.replayed < 0.04


def test_a_reranker_sees_documents_of_its_list_alone(context: Context, corpus: Corpus) -> None:
    run = context.run("first % 3 >> length", QUERIES, corpus)
    before = context.run("first % 3", QUERIES, corpus)
    assert [set(run.of(q)[0]) for q in (0, 1)] == [set(before.of(q)[0]) for q in (0, 1)]
    lengths = [len(t) for t in corpus.contents(run.of(0)[0])]
    assert lengths == sorted(lengths)


def test_a_fault_in_a_component_names_its_distribution(context: Context, corpus: Corpus) -> None:
    with pytest.raises(PluginError, match="tests: rerank `broken` failed: RuntimeError: boom"):
        context.run("first >> broken", QUERIES, corpus)
    with pytest.raises(PluginError, match="lists for 1 queries, not for 2"):
        context.run("first >> wrong", QUERIES, corpus)


class PanicException(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(PanicException("index out of bounds"), PluginError), (KeyboardInterrupt(), KeyboardInterrupt),
     (SystemExit(3), SystemExit), (ValueError("odd"), PluginError), (UsageError("yours"), UsageError)],
)  # fmt: skip
def test_a_panic_is_blamed_and_an_interruption_passes(raised: BaseException, seen: type[BaseException]) -> None:
    with pytest.raises(seen) as caught, blame("dist", "search"):
        raise raised
    if seen is PluginError:
        assert f"dist: search failed: {type(raised).__name__}" in str(caught.value)


class Odd(Config):
    since: object = Field(default=object(), description="no JSON")


class OddPlugin:
    @hookimpl
    def retrieve(self) -> Iterator[Component]:
        yield Component("odd", config=f"{HERE}:Odd", factory=f"{HERE}:First", summary="has an odd default")


def test_a_default_without_a_json_form_names_the_plugin_before_anything_runs(context: Context) -> None:
    context.registry.register(OddPlugin(), "odd-plugin")
    with pytest.raises(PluginError, match="odd-plugin: the option `since` of retrieve `odd` has no JSON form: <object"):
        context.pipeline("odd")


@pytest.mark.parametrize("call", ["os._exit(3)", "os.abort()"])
def test_a_plugin_that_would_end_the_process_is_named(tmp_path: Path, call: str) -> None:
    (tmp_path / "rude.py").write_text(f"import os\n{call}\n")
    asked = [sys.executable, "-m", "spaniel", "--plugin", str(tmp_path / "rude.py"), "components", "encode"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"plugin `rude` did not load: it calls {call} when imported" in done.stderr


def test_a_plugin_whose_code_crashes_is_shown(tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text("import ctypes\nctypes.string_at(0)\n")
    asked = [sys.executable, "-m", "spaniel", "--plugin", str(tmp_path / "crash.py"), "components", "encode"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert "crash.py" in done.stderr


def test_a_child_that_an_import_forks_ends_as_it_likes(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    (tmp_path / "forks.py").write_text(
        "import os\nchild = os.fork()\nif not child:\n    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    asked = [sys.executable, "-m", "spaniel", "--plugin", str(tmp_path / "forks.py"), "components", "encode"]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_what_a_session_shows_can_be_read(context: Context, corpus: Corpus) -> None:
    pipeline = context.pipeline("first >> length")
    run = context.run(pipeline, QUERIES, corpus)
    assert repr(pipeline) == "Pipeline('first >> length')"
    assert "first" in repr(pipeline.stages[0])
    assert "2 queries" in repr(run)
    assert "16 documents" in repr(run)
    assert "8 documents" in repr(corpus)
    assert repr(QUERIES).startswith("Queries(2: 'q1'")
    assert "seed=0" in repr(context)
    assert repr(Qrels({"q1": {"d1": 1, "d2": 0}})) == "Qrels(1 queries, 2 judgments)"
    (artifact,) = [entry.artifact for entry in context.store.list()]
    assert repr(artifact).startswith("Artifact(corpus ")
    assert {"Context", "Run", "parse", "__version__"} <= set(dir(package))


def test_a_reseeded_session_differs_in_the_seed_alone(tmp_path: Path, context: Context) -> None:
    first = Context(tmp_path, registry=context.registry, seed=1, batch_size=3, offline=True, device="cpu", keep=5)
    other = first.reseeded(2)
    assert (other.seed, first.seed) == (2, 1)
    for name in ("store", "registry", "batch_size", "offline", "device", "keep"):
        assert getattr(other, name) is getattr(first, name)


def test_what_a_session_needs_is_asked_for_once(context: Context, corpus: Corpus, monkeypatch: Any) -> None:
    asked = []
    monkeypatch.setattr(First, "needs", lambda self, corpus: asked.append(corpus) or ())
    for text in ("a", "b", "c"):
        context.run("first", Queries.from_lists(["q"], [text]), corpus)
    assert len(asked) == 1


def test_a_second_query_asks_the_store_for_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel.store import Store

    dense = pytest.importorskip("spaniel_dense", reason="its exact index is searched")
    context.registry.register(dense, "spaniel-dense")
    corpus = Corpus.from_documents(Document(f"d{i}", "", "abcdefgh"[i]) for i in range(8))
    for text in ("first", "dense(encoder=letters, index=flat)"):
        context.run(text, Queries.from_lists(["q"], ["a"]), corpus)

    def refuse(*given: Any, **options: Any) -> None:
        raise AssertionError("asked again")

    for name in ("find", "open", "digest_of"):
        monkeypatch.setattr(Store, name, refuse)
    monkeypatch.setattr("spaniel.context.bind", refuse)
    monkeypatch.setattr("spaniel.context.bind_pipeline", refuse)
    monkeypatch.setattr(Letters, "fingerprint", refuse)
    for text in ("first", "dense(encoder=letters, index=flat)"):
        found = context.run(text, Queries.from_lists(["q"], ["b"]), corpus)
        assert corpus.ids(found.of(0)[0][:1]) == ["d1"]


def test_an_artifact_is_verified_once_a_session_and_built_again_where_it_was_removed(context: Context) -> None:
    corpus = Corpus.from_documents([Document("d1", "", "a b")])
    need = vectors_need(context, "letters", corpus.need)
    artifact = context.obtain(need)
    assert context.obtain(need) is artifact
    file = artifact.path / next(iter(artifact.files))
    context.store.remove(artifact.address)
    assert context.obtain(need).path == artifact.path
    assert Letters.encoded == 2
    file.write_bytes(b"damaged")
    assert context.obtain(need).path == artifact.path
    with pytest.raises(ArtifactError, match=file.name):
        context.reseeded(0).obtain(need)


def test_plugins_that_are_taken_out_are_forgotten(context: Context) -> None:
    context.registry.register(OddPlugin(), "odd-plugin")
    context.registry.unregister("odd-plugin")
    with pytest.raises(UsageError, match="odd"):
        context.pipeline("odd")
    assert context.pipeline("first") is context.pipeline("first")
    context.registry.unregister("tests")
    with pytest.raises(UsageError, match="first"):
        context.pipeline("first")


def test_observers_see_stages_start_and_finish(context: Context, corpus: Corpus) -> None:
    seen = []

    class Observer:
        @hookimpl
        def stage_started(self, stage: Any) -> None:
            seen.append(("started", stage.name))

        @hookimpl
        def stage_finished(self, stage: Any, seconds: float, error: BaseException | None) -> None:
            seen.append(("finished", stage.name))

    context.registry.observe(Observer())
    context.run("first >> length", QUERIES, corpus)
    assert [s for s in seen if s[1] in ("first", "length")] == [
        ("started", "first"),
        ("finished", "first"),
        ("started", "length"),
        ("finished", "length"),
    ]


def test_random_streams_depend_on_seed_and_name_alone(tmp_path: Path, context: Context) -> None:
    same = Context(tmp_path / "other", registry=context.registry)
    other = Context(tmp_path / "other", seed=1, registry=context.registry)
    assert context.rng("a", 1).random() == same.rng("a", 1).random()
    assert len({context.seed_for("a"), context.seed_for("b"), other.seed_for("a"), context.seed_for("a", 1)}) == 4


@pytest.mark.parametrize("size", [0, 1, 2500])
def test_an_encoding_that_was_stopped_goes_on(context: Context, size: int) -> None:
    corpus = Corpus.from_documents(Document(f"d{i:05d}", "", "abcdefgh" * (i % 7)) for i in range(size))
    Letters.dies_at = 1 if size > 1024 else -1
    if size > 1024:
        with pytest.raises(KeyboardInterrupt):
            corpus_vectors(context, "letters", corpus.need, "dense")
        Letters.dies_at = -1
    vectors = corpus_vectors(context, "letters", corpus.need, "dense")
    assert isinstance(vectors, DenseVectors)
    assert len(vectors) == size
    texts = corpus.contents(range(size))
    assert np.array_equal(vectors.values, Letters(None, context).encode(texts, "document")["dense"].values)
    if size > 1024:
        assert Letters.encoded - 1 == 3, "three shards, none of them encoded twice"


def test_two_corpora_have_two_addresses(context: Context, corpus: Corpus) -> None:
    other = Corpus.from_documents([Document("d0", "", "a")])
    addresses = {vectors_need(context, "letters", c.need).recipe.address for c in (corpus, other)}
    assert len(addresses) == 2


def test_an_explanation_must_add_up() -> None:
    from spaniel import Contribution, Explanation

    parts = (Contribution("a", 1.0), Contribution("b", 0.5))
    assert Explanation("t", "e", "q", "d", 1.5, parts).total() == 1.5
    with pytest.raises(UsageError, match="adds up to"):
        Explanation("t", "e", "q", "d", 2.0, parts)


# The commands, over the distributions that are installed.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "tiny"
    (data / "qrels").mkdir(parents=True)
    words = ["cats purr softly", "dogs bark at cats", "birds sing in trees", "fish swim in water", "trees grow tall"]
    lines = [json.dumps({"_id": f"d{i}", "title": "", "text": text}) for i, text in enumerate(words)]
    (data / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    queries = ["cats", "trees and birds", "water fish"]
    (data / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{i}", "text": t}) + "\n" for i, t in enumerate(queries))
    )
    (data / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq0\td0\t2\nq0\td1\t1\nq1\td2\t1\nq2\td3\t1\nq2\td4\t-1\n"
    )
    return data


@pytest.fixture
def spaniel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("spaniel_bm25", reason="the commands are tried with BM25")
    monkeypatch.setenv("SPANIEL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("SPANIEL_CONFIG", str(tmp_path / "config"))

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.output

    return run


def test_compare_prints_json_of_the_stated_shape(spaniel: Any, folder: Path) -> None:
    told = json.loads(spaniel("compare", "bm25", "bm25(method=atire)", str(folder), "--json"))
    assert set(told) >= {"data", "systems", "comparisons"}
    for system in told["systems"]:
        assert set(system) >= {"name", "expression", "measures", "cost"}
        assert "nDCG@10" in system["measures"]
        assert set(system["cost"]) >= {
            "ms_per_query",
            "load_seconds",
            "pairs_scored",
            "build_seconds",
            "bytes_on_disk",
            "peak_memory_bytes",
            "model_calls",
        }
    assert told["comparisons"][0]["system"] == "bm25(method=atire)"


@pytest.mark.slow
def test_systems_of_their_own_processes_measure_the_same(spaniel: Any, folder: Path) -> None:
    asked = ("compare", "bm25", "bm25(b=0) % 2", str(folder), "--json")
    together, apart = json.loads(spaniel(*asked)), json.loads(spaniel(*asked, "--isolate"))
    assert [one["measures"] for one in together["systems"]] == [one["measures"] for one in apart["systems"]]
    # In one process the second system finds what the first has loaded; by itself each loads its own.
    assert all(one["cost"]["load_seconds"] > 0.05 for one in apart["systems"])
    assert together["systems"][1]["cost"]["load_seconds"] < apart["systems"][1]["cost"]["load_seconds"]
    assert all(one["cost"]["peak_memory_bytes"] > 1e6 for one in apart["systems"])
    assert "trace" in spaniel("compare", "bm25", str(folder), "--isolate", "--trace", str(folder / "t.json"), code=2)


def test_run_writes_a_run_that_rerun_repeats(spaniel: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bm25.trec"
    spaniel("run", "bm25 % 2", str(folder), "-o", str(out), "--trace", str(tmp_path / "trace.json"))
    assert len(out.read_text().splitlines()) == 5
    assert "the result is the same" in spaniel("rerun", str(out))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"bm25", "cut(k=2)"} <= {event["name"] for event in events}
    with (folder / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "d9", "text": "cats cats cats"}) + "\n")
    assert "differs" in spaniel("rerun", str(out), code=1)
    assert "nDCG@10" in spaniel("evaluate", str(out), str(folder))


def test_plan_tells_what_is_there(spaniel: Any, folder: Path) -> None:
    before = json.loads(spaniel("plan", "bm25", str(folder), "--json"))["artifacts"]
    assert [a["there"] for a in before] == [False, False]
    spaniel("index", "bm25", str(folder))
    after = json.loads(spaniel("plan", "bm25", str(folder), "--json"))["artifacts"]
    assert [a["there"] for a in after] == [True, True]
    assert [a["address"] for a in before] == [a["address"] for a in after]


def test_search_and_explain(spaniel: Any, folder: Path, tmp_path: Path) -> None:
    hits = json.loads(spaniel("search", "bm25", str(folder), "fish in water", "--json"))["hits"]
    assert hits[0]["id"] == "d3"
    (explanation,) = json.loads(spaniel("explain", "rrf(bm25, bm25(b=0))", str(folder), "fish in water", "--json"))
    assert explanation["document"] == "d3"
    assert sum(part["score"] for part in explanation["contributions"]) == pytest.approx(explanation["score"], abs=1e-5)
    spaniel("explain", "bm25", str(folder), "fish", "-o", str(tmp_path / "why.html"))
    assert "d3" in (tmp_path / "why.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "bm26", "FOLDER"), "did you mean `bm25`"),
        (("run", "bm25", "nowhere"), "no folder and no collection"),
        (("run", "bm25", "FOLDER", "-m", "nDGC@10"), "is no measure"),
        (("run", "bm25", "FOLDER", "--split", "dev"), "no split 'dev'"),
        (("compare", "FOLDER"), "at least one expression"),
        (("explain", "bm25", "FOLDER", "cats", "--document", "zzz"), "no document 'zzz'"),
        (("reproduce", "nothing"), "no plugin offers a check"),
    ],
)
def test_a_mistake_is_a_usage_error(spaniel: Any, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    output = spaniel(*(str(folder) if a == "FOLDER" else a for a in arguments), code=2)
    assert said in output


def test_the_report_needs_no_network(spaniel: Any, folder: Path, tmp_path: Path) -> None:
    spaniel("compare", "bm25", "bm25(b=0)", str(folder), "--report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert "bm25(b=0)" in page
    assert "<svg" in page
    assert not [u for u in ("src=", "@import", "<link", "url(http") if u in page]

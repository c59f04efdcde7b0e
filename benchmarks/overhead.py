"""What a pipeline costs beyond the library calls that it makes: the same search, directly and through a pipeline.

    python benchmarks/overhead.py --queries 10000 --documents 20000

Each side opens nothing new: the index is built and opened before the clock starts. Single queries are run one after the
other, each by the engine itself (for ``dense``: encoder and index) and by ``Context.run``. PyTerrier, where it is installed
(pip install pyterrier pyterrier-pisa), runs a pipeline over its own engine beside that engine called directly.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click
import numpy as np
from quiet import quiet
from spaniel import Component, Context, Corpus, Document, Queries, hookimpl
from spaniel.data import DenseVectors

DIMENSIONS = 64


class Hashed:
    """An encoder that costs next to nothing: the first bytes of a text."""

    def __init__(self, config: None, context: Context) -> None:
        self.context = context

    def fingerprint(self, role: str) -> Mapping[str, str]:
        """Nothing decides the vectors but the texts."""
        return {}

    def encode(self, texts: Sequence[str], role: str, metadata: Any = None) -> Mapping[str, DenseVectors]:
        """Return one vector a text."""
        filled = b"".join(text.encode()[:DIMENSIONS].ljust(DIMENSIONS) for text in texts)
        return {"dense": DenseVectors(np.frombuffer(filled, np.uint8).reshape(-1, DIMENSIONS).astype(np.float32))}


class Plugin:
    """Offers the encoder."""

    @hookimpl
    def encode(self) -> Iterator[Component]:
        """Yield it."""
        yield Component("hashed", factory=f"{__name__}:Hashed", summary="bytes of a text", gives=("dense",))


def make_texts(documents: int, queries: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Make texts of words whose frequencies fall as Zipf's law says."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array([f"word{i}" for i in range(20_000)])
    ranks = 1 / np.arange(1, len(vocabulary) + 1)

    def draw(count: int, length: int) -> list[str]:
        picked = rng.choice(len(vocabulary), size=(count, length), p=ranks / ranks.sum())
        return [" ".join(words) for words in vocabulary[picked]]

    return draw(documents, 40), draw(queries, 6)


def best_of(run: Callable[[], object], repeats: int) -> list[float]:
    """Return the seconds of each of several runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return times


@click.command()
@click.option("--documents", default=20_000, show_default=True, help="Documents.")
@click.option("--queries", default=10_000, show_default=True, help="Queries.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each side.")
@click.option("-k", default=100, show_default=True, help="Documents retrieved.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(documents: int, queries: int, repeats: int, k: int, as_json: bool) -> None:
    """Measure and print the ratio of pipeline to direct calls."""
    texts, asked = make_texts(documents, queries)
    corpus = Corpus.from_documents(Document(f"d{i:07d}", "", text) for i, text in enumerate(texts))
    questions = Queries.from_lists([f"q{i}" for i in range(queries)], asked)
    with tempfile.TemporaryDirectory() as store:
        context = Context(store)
        retriever = context.create("retrieve", f"bm25(k={k})")
        context.run(f"bm25(k={k})", questions.select(range(10)), corpus)
        index = retriever.index(corpus)

        def direct() -> None:
            index.search(questions.texts, k)

        def pipeline() -> float:
            fresh = context.reseeded(0)
            fresh.run(f"bm25(k={k})", questions.select(range(10)), corpus)
            started = time.perf_counter()
            fresh.run(f"bm25(k={k})", questions, corpus)
            return time.perf_counter() - started

        direct()
        pairs = [(best_of(direct, 1)[0], pipeline()) for _ in range(repeats)]
        single = single_queries(context, corpus, asked, k)
    result: dict[str, Any] = {
        "queries": queries,
        "documents": documents,
        "direct_seconds": min(d for d, _ in pairs),
        "pipeline_seconds": min(p for _, p in pairs),
        "ratio": min(p for _, p in pairs) / min(d for d, _ in pairs),
        "ratio_median": statistics.median(p / d for d, p in pairs),
        **single,
    }
    peer = pyterrier_overhead(texts, asked, k, repeats)
    if peer is not None:
        result["pyterrier"] = peer
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for key, value in result.items():
        figures = value.items() if isinstance(value, dict) else [("", value)]
        click.echo(f"{key:<18} {', '.join(f'{name} {v:.4g}'.strip() for name, v in figures)}")


def single_queries(
    context: Context, corpus: Corpus, asked: Sequence[str], k: int, queries: int = 300
) -> dict[str, dict[str, float]]:
    """Return what one query takes, in milliseconds: the engine alone, through ``Context.run``, and the difference.

    Of each the tenth percentile, which other work on the machine disturbs least.
    """
    context.registry.register(Plugin(), "overhead-benchmark")
    encoder = context.create("encode", "hashed")
    found = {}
    for name, expression in (("bm25", f"bm25(k={k})"), ("dense", f"dense(encoder=hashed, index=flat, k={k})")):
        context.run(expression, Queries.from_lists(["q"], ["warm"]), corpus)
        index = context.create("retrieve", expression).index(corpus)

        def engine(queries: Queries, name: str = name, index: Any = index) -> None:
            index.search(encoder.encode(queries.texts, "query")["dense"] if name == "dense" else queries.texts, k)

        taken: dict[str, list[float]] = {"engine_ms": [], "run_ms": []}
        for number in range(queries):
            one = Queries.from_lists(["q"], [asked[number % len(asked)] + f" {number} {name}"])
            taken["engine_ms"] += best_of(lambda one=one: engine(one), 1)  # type: ignore[misc]
            taken["run_ms"] += best_of(lambda one=one, expression=expression: context.run(expression, one, corpus), 1)  # type: ignore[misc]
        figures = {what: 1000 * float(np.percentile(times, 10)) for what, times in taken.items()}
        found[f"one query, {name}"] = {**figures, "overhead_ms": figures["run_ms"] - figures["engine_ms"]}
    return found


def pyterrier_overhead(texts: list[str], asked: list[str], k: int, repeats: int) -> dict[str, float] | None:
    """Return PyTerrier's own ratio, pipeline beside engine, or nothing where it is not installed."""
    try:
        import pandas as pd
        from pyterrier_pisa import PisaIndex
    except ImportError:
        return None
    with quiet(), tempfile.TemporaryDirectory() as folder:
        index = PisaIndex(f"{folder}/index", text_field="text", threads=1)
        index.index({"docno": f"d{i:07d}", "text": text} for i, text in enumerate(texts))
        engine = index.bm25(num_results=k)
        frame = pd.DataFrame({"qid": [str(i) for i in range(len(asked))], "query": asked})
        composed = engine % k
        engine(frame)
        pairs = [(best_of(lambda: engine(frame), 1)[0], best_of(lambda: composed(frame), 1)[0]) for _ in range(repeats)]
    return {"direct_seconds": min(d for d, _ in pairs), "pipeline_seconds": min(p for _, p in pairs),
            "ratio": min(p for _, p in pairs) / min(d for d, _ in pairs)}  # fmt: skip


if __name__ == "__main__":
    main()

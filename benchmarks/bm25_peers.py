"""BM25 beside bm25s, tantivy and, where they are installed, PISA and Lucene, on the same texts and in one run.

Building the index, and searching it.

python benchmarks/bm25_peers.py --documents 100000 --queries 2000
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bm25s
import click
import numba
import numpy as np
import Stemmer
from quiet import quiet
from spaniel import Context, Corpus, Document, Queries


def texts_of(count: int, length: int, rng: np.random.Generator) -> list[str]:
    """Make texts of words whose frequencies fall as Zipf's law says."""
    ranks = 1 / np.arange(1, 50_001)
    picked = rng.choice(50_000, size=(count, length), p=ranks / ranks.sum())
    return [" ".join(f"word{i}" for i in line) for line in picked]


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def pisa(texts: list[str], asked: list[str], k: int, repeats: int, ours: float) -> dict[str, float]:
    """Return PISA's seconds, all queries in one call of PyTerrier's, and the ratio; nothing where it is not installed."""
    try:
        import pandas as pd
        from pyterrier_pisa import PisaIndex
    except ImportError:
        return {}
    with quiet(), tempfile.TemporaryDirectory() as folder:
        index = PisaIndex(f"{folder}/index", text_field="text", threads=numba.get_num_threads())
        documents = ({"docno": f"d{i:07d}", "text": text} for i, text in enumerate(texts))
        build = seconds(lambda: index.index(documents))
        engine = index.bm25(num_results=k)
        frame = pd.DataFrame({"qid": [str(i) for i in range(len(asked))], "query": asked})
        engine(frame)
        search = statistics.median(seconds(lambda: engine(frame)) for _ in range(repeats))
    return {"pisa_build_seconds": build, "pisa_search_seconds": search, "pisa_search_ratio": ours / search}


def lucene(texts: list[str], asked: list[str], k: int, repeats: int, ours: float) -> dict[str, float]:
    """Return Lucene's seconds, one thread, and the ratio; nothing without Java, pyjnius and the jar that pyserini carries."""
    found = find_spec("pyserini")
    jars = list(Path(found.submodule_search_locations[0]).glob("resources/jars/*.jar")) if found else []
    if not jars or find_spec("jnius") is None:
        return {}
    import jnius_config

    jnius_config.set_classpath(str(jars[0]))
    try:
        from jnius import autoclass, cast
    except Exception:  # without a Java that it finds, pyjnius raises whatever it met
        return {}
    with quiet(), tempfile.TemporaryDirectory() as folder:
        documents, index = Path(folder) / "documents", f"{folder}/index"
        documents.mkdir()
        lines = (json.dumps({"id": f"d{i:07d}", "contents": text}) for i, text in enumerate(texts))
        (documents / "documents.jsonl").write_text("\n".join(lines), encoding="utf-8")
        arguments = {"collection": "JsonCollection", "generator": "DefaultLuceneDocumentGenerator", "threads": "1"}
        flat = [part for name, value in arguments.items() for part in (f"-{name}", value)]
        main = autoclass("io.anserini.index.IndexCollection").main
        build = seconds(lambda: main([*flat, "-input", str(documents), "-index", index, "-optimize"]))
        directory = autoclass("org.apache.lucene.store.FSDirectory").open(autoclass("java.io.File")(index).toPath())
        reader = autoclass("org.apache.lucene.index.DirectoryReader").open(directory)
        searcher = autoclass("org.apache.lucene.search.IndexSearcher")(
            cast("org.apache.lucene.index.IndexReader", reader)
        )
        searcher.setSimilarity(autoclass("org.apache.lucene.search.similarities.BM25Similarity")(1.2, 0.75))
        analyzer = autoclass("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance()
        generator = autoclass("io.anserini.search.query.BagOfWordsQueryGenerator")()

        def search() -> None:
            for text in asked:
                searcher.search(generator.buildQuery("contents", analyzer, text), k)

        search()  # Java compiles what runs often
        search()
        found_seconds = statistics.median(seconds(search) for _ in range(repeats))
    return {
        "lucene_build_seconds": build,
        "lucene_search_seconds": found_seconds,
        "lucene_search_ratio": ours / found_seconds,
    }


@click.command()
@click.option("--documents", default=100_000, show_default=True, help="Documents.")
@click.option("--queries", default=2_000, show_default=True, help="Queries.")
@click.option("-k", default=100, show_default=True, help="Documents retrieved.")
@click.option("--repeats", default=5, show_default=True, help="Searches of each side, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(documents: int, queries: int, k: int, repeats: int, as_json: bool) -> None:
    """Print seconds of every side, and ratios (below 1: Spaniel's BM25 is faster)."""
    rng = np.random.default_rng(0)
    texts, asked = texts_of(documents, 30, rng), texts_of(queries, 6, rng)
    corpus = Corpus.from_documents(Document(f"d{i:07d}", "", text) for i, text in enumerate(texts))
    questions = Queries.from_lists([f"q{i}" for i in range(queries)], asked)
    stemmer = Stemmer.Stemmer("english")
    threads = numba.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        context = Context(folder)
        retriever = context.create("retrieve", f"bm25(k={k})")
        (need,) = retriever.needs(corpus.need)
        context.obtain(corpus.need)
        ours_build = seconds(lambda: context.obtain(need))
        index = retriever.index(corpus)
        peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend="numba")

        def build_peer() -> None:
            tokens = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
            peer.index(tokens, show_progress=False)

        theirs_build = seconds(build_peer)

        def search_peer() -> None:
            tokens = bm25s.tokenize(asked, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
            peer.retrieve(tokens, k=k, n_threads=threads, show_progress=False)

        living = context.create("retrieve", f"tantivy(k={k})")
        (living_need,) = living.needs(corpus.need)
        living_build = seconds(lambda: context.obtain(living_need))
        tantivy = living.index(corpus)
        tantivy.search(questions.texts[:10], k)
        tantivy_search = statistics.median(seconds(lambda: tantivy.search(questions.texts, k)) for _ in range(repeats))
        search_peer()
        pairs = [(seconds(lambda: index.search(questions.texts, k)), seconds(search_peer)) for _ in range(repeats)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    result = {
        "documents": documents,
        "queries": queries,
        "threads": threads,
        "build_seconds": ours_build,
        "bm25s_build_seconds": theirs_build,
        "build_ratio": ours_build / theirs_build,
        "search_seconds": ours,
        "bm25s_search_seconds": theirs,
        "search_ratio": ours / theirs,
        "tantivy_build_seconds": living_build,
        "tantivy_build_ratio": ours_build / living_build,
        "tantivy_search_seconds": tantivy_search,
        "tantivy_search_ratio": ours / tantivy_search,
        **pisa(texts, asked, k, repeats, ours),
        **lucene(texts, asked, k, repeats, ours),
        "spread": [min(o / t for o, t in pairs), max(o / t for o, t in pairs)],
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for key, value in result.items():
        click.echo(f"{key:<24} {', '.join(f'{v:.4g}' for v in (value if isinstance(value, list) else [value]))}")


if __name__ == "__main__":
    main()

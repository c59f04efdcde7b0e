"""Queries without a model, beside BM25 and beside SPLADE's model for queries, on one collection in one process and thread.

    python benchmarks/inference_free_sparse.py --data path/to/beir-folder

Each query goes alone from text to its best documents: encoded or analysed, searched, sorted. Rounds alternate. `ratio` is a
side's median time over BM25's, below 1 where the side is faster: the median of the rounds, the least and the greatest.
`agree` is the share of the best 100 that stay when weights are kept as Lucene keeps them (16 bits) or in 8 bits. `FLOPS` is the
mean number of terms that a query and a document share. Counting the IDF table is timed by itself, without the store.
"""

from __future__ import annotations

import os

os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from spaniel import Context, Queries
from spaniel.collections import find_dataset
from spaniel.data import SparseVectors
from spaniel.encoding import corpus_vectors
from spaniel.indexing import open_index
from spaniel.system import Task, open_task
from spaniel_inference_free_sparse.efficiency import flops
from spaniel_inference_free_sparse.export import as_lucene
from spaniel_inference_free_sparse.idf import count_documents
from spaniel_inference_free_sparse.queries import prune
from spaniel_inference_free_sparse.tokens import special_tokens

ENCODERS = {"inference-free": "inference-free-tiny(dtype=bfloat16)", "splade": "splade-tiny(dtype=bfloat16)"}


def searches(context: Context, task: Task, k: int) -> dict[str, Callable[[str], Any]]:
    """Return, by name, what finds the best ``k`` of one query."""
    from spaniel.encoding import vectors_need
    from spaniel_impacts.rescoring import score_rows

    bm25 = open_index(context, "bm25", task.corpus.need)
    made: dict[str, Callable[[str], Any]] = {"bm25": lambda text: bm25.search([text], k)}
    for name, expression in ENCODERS.items():
        encoder = context.create("encode", expression)
        index = open_index(context, "impact", vectors_need(context, expression, task.corpus.need), "sparse")

        def search(text: str, encoder: Any = encoder, index: Any = index) -> Any:
            return index.search(encoder.encode([text], "query")["sparse"], k)

        made[name] = search
    encoder = context.create("encode", ENCODERS["inference-free"])
    held: Any = corpus_vectors(context, ENCODERS["inference-free"], task.corpus.need, "sparse")
    whole = open_index(context, "impact", vectors_need(context, ENCODERS["inference-free"], task.corpus.need), "sparse")

    def two_phase(text: str) -> Any:
        asked = encoder.encode([text], "query")["sparse"]
        found = whole.search(prune(asked, 0.4), 5 * k)
        return score_rows(asked, held, found.offsets, found.rows)

    made["two-phase"] = two_phase
    return made


def agreement(queries: SparseVectors, documents: SparseVectors, stored: np.ndarray, k: int) -> float:
    """Return what share of the best ``k`` stays with other weights of documents."""
    from spaniel.data import topk

    other = SparseVectors(documents.indptr, documents.indices, stored, documents.width)
    first, second = (topk(queries.dot(vectors), k)[0] for vectors in (documents, other))
    return float(np.mean([len(set(a) & set(b)) / max(1, len(a)) for a, b in zip(first, second, strict=True)]))


def eight_bits(vectors: SparseVectors) -> np.ndarray:
    """Return weights in 255 steps up to the greatest of each term."""
    greatest = np.zeros(vectors.width, np.float32)
    np.maximum.at(greatest, vectors.indices, vectors.values)
    scale = np.maximum(greatest[vectors.indices], np.finfo(np.float32).tiny)
    return (np.round(vectors.values / scale * 255) / 255 * scale).astype(np.float32)


@click.command()
@click.option("--data", required=True, help="Name or folder of a collection.")
@click.option("--queries", default=200, show_default=True, help="Queries, at most.")
@click.option("--rounds", default=5, show_default=True, help="Rounds over all queries.")
@click.option("-k", default=10, show_default=True, help="Documents found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(data: str, queries: int, rounds: int, k: int, as_json: bool) -> None:
    """Measure."""
    context = Context(device="cpu")
    task = open_task(context, find_dataset(context, data), None)
    texts = task.queries.texts[:queries]
    sides = searches(context, task, k)
    taken: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, search in sides.items():
            search(texts[0])
            times = []
            for text in texts:
                started = time.perf_counter()
                search(text)
                times.append(time.perf_counter() - started)
            taken[name].append(times)
    report: dict[str, Any] = {"documents": len(task.corpus), "queries": len(texts), "sides": {}}
    for name, seen in taken.items():
        ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(seen, taken["bm25"], strict=True)]
        every = np.concatenate(seen) * 1000
        report["sides"][name] = {
            "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
            "p50 ms": float(np.percentile(every, 50)),
            "p99 ms": float(np.percentile(every, 99)),
        }
    asked_texts = Queries.from_lists([str(n) for n in range(len(texts))], texts).texts
    for name, expression in ENCODERS.items():
        encoder = context.create("encode", expression)
        held: Any = corpus_vectors(context, expression, task.corpus.need, "sparse")
        report["sides"][name]["FLOPS"] = flops(encoder.encode(asked_texts, "query")["sparse"], held)
    encoder = context.create("encode", ENCODERS["inference-free"])
    asked = encoder.encode(asked_texts, "query")["sparse"]
    held = corpus_vectors(context, ENCODERS["inference-free"], task.corpus.need, "sparse")
    values = np.ascontiguousarray(held.values)
    report["agree at 100"] = {
        "Lucene's 16 bits": agreement(asked, held, as_lucene(values), 100),
        "8 bits": agreement(asked, held, eight_bits(held), 100),
    }
    times = []
    for _ in range(20):
        started = time.perf_counter()
        encoder.encode(["what is the best way to find out how old a tree is"], "query")
        times.append(time.perf_counter() - started)
    report["a query of 12 terms, ms"] = 1000 * statistics.median(times)
    tokenizer = encoder.table.tokenizer
    contents = task.corpus.contents(range(min(2048, len(task.corpus))))
    started = time.perf_counter()
    count_documents(tokenizer, contents, special_tokens(tokenizer))
    report["documents counted a second"] = len(contents) / (time.perf_counter() - started)
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    click.echo(f"{report['documents']:,} documents, {report['queries']} queries, best {k}, {rounds} rounds")
    for name, side in report["sides"].items():
        middle, least, most = side["ratio"]
        cost = f"  FLOPS {side['FLOPS']:.2f}" if "FLOPS" in side else ""
        ratio = f"ratio {middle:6.2f} ({least:.2f}-{most:.2f})"
        click.echo(f"  {name:<16} {ratio}  p50 {side['p50 ms']:.3f} ms  p99 {side['p99 ms']:.3f} ms{cost}")
    for name, share in report["agree at 100"].items():
        click.echo(f"  best 100 kept with {name}: {share:.4f}")
    click.echo(f"  a query of 12 terms is encoded in {report['a query of 12 terms, ms']:.3f} ms")
    click.echo(f"  IDF: {report['documents counted a second']:,.0f} documents counted a second")


if __name__ == "__main__":
    main()

"""Dense search beside its peers, on the same vectors in the same process.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/dense_peers.py
    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/dense_peers.py --graphs

Exact search beside faiss Flat, usearch (exact), sentence-transformers' semantic_search and numpy; with ``--graphs`` HNSW
through Spaniel beside faiss itself and usearch itself, at rising effort. Rounds alternate; a ratio is the peer's time over
Spaniel's in the same round (above 1: Spaniel is faster), its median over the rounds and its spread. The variables that are
unset choose slow kernels for numpy, where a machine sets them.

The limit of one query is the memory's: every vector is read once. That of a batch is the processor's: two operations for
each number of each pair. Both are measured in the same process, by a sum over the vectors and by a matrix product.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from spaniel import Context
from spaniel.data import DenseVectors, save_vectors
from spaniel.indexing import open_index
from spaniel.store import Need, Recipe

Floats = NDArray[np.float32]
Side = Callable[[Floats, int], NDArray[Any]]


def clustered(rows: int, dimensions: int) -> Floats:
    """Make vectors about a thousand centres, of length 1: what encoders make looks so."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1000, dimensions), dtype=np.float32)
    made = centres[rng.integers(1000, size=rows)]
    made += rng.standard_normal((rows, dimensions), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def by_numpy(documents: Floats) -> Side:
    """Search as a notebook does: one product, a partition, a sort."""

    def search(queries: Floats, k: int) -> NDArray[Any]:
        scores = queries @ documents.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)

    return search


def exact_peers(documents: Floats) -> dict[str, Side]:
    """Return the peers that are installed."""
    found: dict[str, Side] = {"numpy": by_numpy(documents)}
    try:
        import faiss

        flat = faiss.IndexFlatIP(documents.shape[1])
        flat.add(documents)
        found["faiss"] = lambda queries, k: flat.search(queries, k)[1]
    except ImportError:
        pass
    try:
        from usearch.index import search as brute

        found["usearch"] = lambda queries, k: brute(documents, queries, k, "ip", exact=True).keys
    except ImportError:
        pass
    try:
        import torch
        from sentence_transformers.util import semantic_search

        held = torch.from_numpy(documents)

        def by_sentence_transformers(queries: Floats, k: int) -> NDArray[Any]:
            hits = semantic_search(torch.from_numpy(queries), held, top_k=k, score_function=_dot)
            return np.array([[hit["corpus_id"] for hit in line] for line in hits])

        def _dot(a: Any, b: Any) -> Any:
            return a @ b.T

        found["sentence_transformers"] = by_sentence_transformers
    except ImportError:
        pass
    return found


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def limits(documents: Floats) -> dict[str, float]:
    """Return what this machine can do now: bytes read in a second, and operations of a matrix product."""
    read = min(seconds(lambda: documents.sum()) for _ in range(3))
    square = np.ascontiguousarray(documents[:2048, :256])
    multiplied = min(seconds(lambda: square @ square.T) for _ in range(5))
    return {
        "read_gb_per_second": documents.nbytes / read / 1e9,
        "product_gflops": 2 * 2048 * 2048 * 256 / multiplied / 1e9,
    }


def compare(ours: Side, peers: dict[str, Side], queries: Floats, k: int, rounds: int) -> dict[str, Any]:
    """Time all sides in turn, each warmed up once."""
    sides = {"spaniel": ours, **peers}
    rows = {name: np.asarray(side(queries, k)).reshape(len(queries), k) for name, side in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(seconds(lambda side=side: side(queries, k)))  # type: ignore[misc]
    result: dict[str, Any] = {"queries": len(queries), "k": k}
    result["spaniel_ms_per_query"] = 1000 * statistics.median(taken["spaniel"]) / len(queries)
    for name in peers:
        ratios = sorted(theirs / mine for theirs, mine in zip(taken[name], taken["spaniel"], strict=True))
        result[name] = {
            "ratio": round(statistics.median(ratios), 3),
            "spread": [round(ratios[0], 3), round(ratios[-1], 3)],
            # The order of near ties differs, since others round a product as its blocks fall.
            "same": round(float((rows[name] == rows["spaniel"]).mean()), 5),
        }
    return result


def exact_table(documents: Floats, asked: Floats, rounds: int) -> Iterator[dict[str, Any]]:
    """Compare exact search for one query, some and many."""
    source = Need(
        Recipe("vectors", "benchmark/dense", "1", {"rows": len(documents)}),
        lambda draft: save_vectors(DenseVectors(documents, "dot"), draft.file("dense")),
    )
    peers = exact_peers(documents)
    with tempfile.TemporaryDirectory() as folder:
        index = open_index(Context(folder), "flat", source, "dense")

        def ours(queries: Floats, k: int) -> NDArray[Any]:
            return index.search(DenseVectors(queries, "dot"), k).rows

        for count, k in ((1, 10), (1, 1000), (32, 100), (300, 10), (300, 1000), (1000, 100)):
            line = compare(ours, peers, asked[:count], k, rounds)
            line |= limits(documents)
            operations = 2 * documents.size * count
            per_second = line["spaniel_ms_per_query"] * count / 1000
            line["of_read_limit"] = documents.nbytes / per_second / 1e9 / line["read_gb_per_second"]
            line["of_product_limit"] = operations / per_second / 1e9 / line["product_gflops"]
            yield line


def graph_table(documents: Floats, asked: Floats, rounds: int) -> Iterator[dict[str, Any]]:
    """Compare graphs at rising effort: recall of 10, and milliseconds of one query after the other."""
    import faiss
    from usearch.index import Index

    exact = by_numpy(documents)(asked, 10)
    source = Need(
        Recipe("vectors", "benchmark/dense", "1", {"rows": len(documents)}),
        lambda draft: save_vectors(DenseVectors(documents, "dot"), draft.file("dense")),
    )
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    theirs = faiss.index_factory(documents.shape[1], "HNSW16,Flat", faiss.METRIC_INNER_PRODUCT)
    theirs.hnsw.efConstruction = 40
    build_theirs = seconds(lambda: theirs.add(documents))
    faiss.omp_set_num_threads(threads)
    graph = Index(ndim=documents.shape[1], metric="ip", dtype="bf16", connectivity=16, expansion_add=128)
    build_graph = seconds(lambda: graph.add(np.arange(len(documents)), documents, threads=1))
    with tempfile.TemporaryDirectory() as folder:
        context = Context(folder)
        for effort in (32, 64, 128, 256):
            ours = {
                name: open_index(context, text, source, "dense")
                for name, text in (
                    ("spaniel_faiss", f'faiss(factory="HNSW16,Flat", ef_search={effort})'),
                    ("spaniel_usearch", f"usearch(ef_search={effort})"),
                    ("spaniel_quantized", f"quantized(rescore={max(1, effort // 32)})"),
                    ("spaniel_bits", f"quantized(bits=1, rescore={max(1, effort // 4)})"),
                )
            }

            def by_faiss(query: Floats, effort: int = effort) -> NDArray[Any]:
                return theirs.search(query, 10, params=faiss.SearchParametersHNSW(efSearch=effort))[1]

            def by_usearch(query: Floats, effort: int = effort) -> NDArray[Any]:
                graph.expansion_search = effort
                return graph.search(query, 10).keys.astype(np.int64)

            sides: dict[str, Callable[[Floats], NDArray[Any]]] = {
                **{n: lambda q, i=i: i.search(DenseVectors(q, "dot"), 10).rows for n, i in ours.items()},
                "faiss": by_faiss,
                "usearch": by_usearch,
            }
            line: dict[str, Any] = {"effort": effort}
            for name, side in sides.items():
                found = np.stack([side(asked[q : q + 1]).reshape(-1) for q in range(len(asked))])
                recall = float(np.mean([np.isin(exact[q], found[q]).mean() for q in range(len(asked))]))
                times = [
                    seconds(lambda s=side: [s(asked[q : q + 1]) for q in range(len(asked))]) for _ in range(rounds)
                ]
                per = sorted(1000 * t / len(asked) for t in times)
                line[name] = {
                    "recall": round(recall, 4),
                    "ms": round(statistics.median(per), 4),
                    "spread": [round(per[0], 4), round(per[-1], 4)],
                }
            yield line
    yield {"build_seconds": {"faiss": round(build_theirs, 1), "usearch": round(build_graph, 1)}}


@click.command()
@click.option("--documents", default=100_000, show_default=True, help="Vectors that are searched.")
@click.option("--dimensions", default=384, show_default=True, help="Numbers in a vector.")
@click.option("--rounds", default=7, show_default=True, help="Rounds, in which all sides take turns.")
@click.option("--graphs", is_flag=True, help="Compare approximate search instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def main(documents: int, dimensions: int, rounds: int, graphs: bool, as_json: bool) -> None:
    """Print times of dense search, and ratios to its peers."""
    made = clustered(documents + 1000, dimensions)
    table = graph_table if graphs else exact_table
    lines = table(made[:documents], made[documents : documents + (200 if graphs else 1000)], rounds)
    for line in lines:
        if as_json:
            click.echo(json.dumps({"documents": documents, "dimensions": dimensions, **line}))
        else:
            click.echo("  ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in line.items()))


if __name__ == "__main__":
    main()

"""Exact dense search beside numpy and faiss (pip install faiss-cpu), on the same random vectors in the same process.

    python benchmarks/dense_peers.py --documents 100000 --queries 300 --k 1000

Every side returns sorted lists. Rounds alternate; ratios are those of the best rounds, above 1 where Spaniel is faster.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from spaniel.data import DenseVectors
from spaniel_dense.flat import FlatIndex

Floats = NDArray[np.float32]


def by_numpy(queries: Floats, documents: Floats, k: int) -> NDArray[Any]:
    """Search as a notebook does: one product, a partition, a sort."""
    scores = queries @ documents.T
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    return np.take_along_axis(best, order, axis=1)


def sides(queries: Floats, documents: Floats, k: int) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    index, asked = FlatIndex(DenseVectors(documents, "dot")), DenseVectors(queries, "dot")
    found: dict[str, Callable[[], Any]] = {
        "spaniel": lambda: index.search(asked, k).rows.reshape(len(queries), k),
        "numpy": lambda: by_numpy(queries, documents, k),
    }
    try:
        import faiss
    except ImportError:
        return found
    flat = faiss.IndexFlatIP(documents.shape[1])
    flat.add(documents)
    return {**found, "faiss": lambda: flat.search(queries, k)[1]}


@click.command()
@click.option("--documents", default=100_000, show_default=True)
@click.option("--queries", default=300, show_default=True)
@click.option("--dimensions", default=384, show_default=True)
@click.option("--k", default=1000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(documents: int, queries: int, dimensions: int, k: int, rounds: int, as_json: bool) -> None:
    rng = np.random.default_rng(0)
    made = rng.standard_normal((documents + queries, dimensions), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    runs = sides(made[documents:], made[:documents], k)
    seconds: dict[str, float] = dict.fromkeys(runs, np.inf)
    rows: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            rows[name] = run()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    result: dict[str, Any] = {"documents": documents, "queries": queries, "dimensions": dimensions, "k": k}
    for name, best in seconds.items():
        result[f"{name}_ms_per_query"] = 1000 * best / queries
    for name in seconds.keys() - {"spaniel"}:
        result[f"ratio_to_{name}"] = seconds[name] / seconds["spaniel"]
        # Random vectors have no ties, but two libraries round a product differently.
        result[f"same_as_{name}"] = float((rows[name] == rows["spaniel"]).mean())
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:<24} {value:.4g}")


if __name__ == "__main__":
    main()

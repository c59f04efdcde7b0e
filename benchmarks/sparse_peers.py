"""Exact sparse search beside scipy, Seismic and impact-index, on the same vectors in the same process, on one thread.

    python benchmarks/sparse_peers.py --data path/to/beir-folder
    python benchmarks/sparse_peers.py --documents 1000000

Vectors are those of splade-tiny for a collection, or synthetic ones. Peers that are not installed are left out: `pip install
scipy pyseismic-lsr`, and impact-index (GPL) in an environment of its own. Rounds alternate. `ratio` is a side's time over the
sweep's, above 1 where the sweep is faster: the median of the rounds, and the least and the greatest of them. `recall` is of
the exact best k. The limit of a sweep is what it reads: the postings of a query's terms, at the speed at which this machine
reads memory.
"""

from __future__ import annotations

import os

os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from spaniel import Context, Stage
from spaniel.data import SparseVectors, open_vectors, save_vectors
from spaniel.indexing import index_need
from spaniel.store import Need, Recipe

WIDTH = 30_522
TOPICS, TOPICAL = 2_000, 300
"""Topics of synthetic vectors, and the terms of each."""


class Side(NamedTuple):
    """A peer: rows found for every query, and the bytes of its index."""

    search: Callable[[], list[Any]]
    bytes: int
    build: float


def synthetic(count: int, terms: int, rng: np.random.Generator) -> SparseVectors:
    """Make vectors of about so many terms: two thirds of a topic's own, the rest of all; with skewed weights.

    Frequencies fall as Zipf's law says, within a topic and in all.
    """
    shares = 1 / np.arange(10, WIDTH + 10)
    drawn = np.searchsorted(np.cumsum(shares) / shares.sum(), rng.random((count, terms)))
    topics = rng.integers(TOPICS, size=count)
    own = np.random.default_rng(1).integers(WIDTH, size=(TOPICS, TOPICAL))
    place = (TOPICAL ** rng.random((count, 2 * terms // 3)) - 1).astype(np.int64)
    drawn[:, : place.shape[1]] = own[topics[:, None], place]
    drawn = np.sort(np.minimum(drawn, WIDTH - 1), axis=1)
    kept = np.ones(drawn.shape, bool)
    kept[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64)
    values = rng.gamma(1.2, 0.4, int(indptr[-1])).astype(np.float32) + np.float32(0.01)
    return SparseVectors(indptr, drawn[kept].astype(np.int32), values, WIDTH)


def encoded(data: str, documents: int, queries: int, context: Context) -> tuple[SparseVectors, SparseVectors]:
    """Encode a collection with splade-tiny; kept in the session's store."""
    from spaniel.collections import find_dataset
    from spaniel.encoding import corpus_vectors, encode_queries

    dataset = find_dataset(context, data)
    held: Any = corpus_vectors(context, "splade-tiny", dataset.documents(), "sparse")
    asked: Any = encode_queries(context, "splade-tiny", dataset.queries(dataset.splits[-1]))["sparse"]
    return held[:documents], asked[:queries]


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def lists(run: Any) -> list[Any]:
    """Return the rows of each list of a run."""
    return [run.of(query)[0] for query in range(len(run))]


def ours(name: str, context: Context, need: Need, queries: SparseVectors, k: int, **options: Any) -> Side:
    """Build one of Spaniel's indexes and return how it is searched."""
    stage = Stage(name, **options)
    wanted = index_need(context, stage, need, "sparse")
    build = seconds(lambda: context.obtain(wanted))
    artifact = context.obtain(wanted)
    index = context.create("index", stage).open(artifact)
    return Side(lambda: lists(index.search(queries, k)), artifact.bytes, build)


def by_scipy(vectors: SparseVectors, queries: SparseVectors, k: int) -> Side:
    """Search as a notebook does: a product with the compressed columns, a partition, a sort."""
    from scipy.sparse import csr_matrix

    shape = (len(vectors), vectors.width)
    columns: list[Any] = []
    build = seconds(
        lambda: columns.append(csr_matrix((vectors.values, vectors.indices, vectors.indptr), shape).tocsc())
    )
    (matrix,) = columns

    def one(query: int) -> Any:
        part = slice(queries.indptr[query], queries.indptr[query + 1])
        scores = np.zeros(len(vectors), np.float32)
        for term, weight in zip(queries.indices[part], queries.values[part], strict=True):
            held = slice(matrix.indptr[term], matrix.indptr[term + 1])
            scores[matrix.indices[held]] += weight * matrix.data[held]
        best = np.argpartition(-scores, min(k, len(scores)) - 1)[:k]
        return best[np.lexsort((best, -scores[best]))]

    size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return Side(lambda: [one(query) for query in range(len(queries))], size, build)


def by_seismic(vectors: SparseVectors, queries: SparseVectors, k: int) -> dict[str, Side]:
    """Search with Seismic's own interface, at three settings of one index; tokens are made beforehand."""
    import seismic

    token = seismic.get_seismic_string()
    dataset = seismic.SeismicDataset()
    made: list[Any] = []

    def build() -> None:
        dataset.add_documents_by_id(
            [str(row) for row in range(len(vectors))],
            np.asarray(vectors.indices, np.int64),
            np.asarray(vectors.values),
            np.asarray(vectors.indptr),
        )
        made.append(seismic.SeismicIndex.build_from_dataset(dataset, num_threads=1))

    took = seconds(build)
    bounds = list(zip(queries.indptr[:-1], queries.indptr[1:], strict=True))
    ids = np.array([str(query) for query in range(len(queries))], dtype=token)
    terms = [queries.indices[begin:end].astype(token) for begin, end in bounds]
    weights = [np.asarray(queries.values[begin:end]) for begin, end in bounds]

    def search(cut: int, heap_factor: float) -> list[Any]:
        found = made[0].batch_search(ids, terms, weights, k=k, query_cut=cut, heap_factor=heap_factor, num_threads=1)
        rows = {int(hits[0][0]): [int(hit[2]) for hit in hits] for hits in found if hits}
        return [np.array(rows.get(query, []), np.int64) for query in range(len(queries))]

    with tempfile.TemporaryDirectory() as folder:
        made[0].save(f"{folder}/index")
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    settings = ((5, 0.9), (10, 0.8), (20, 0.7))
    return {f"seismic {cut} {factor}": Side(partial(search, cut, factor), size, took) for cut, factor in settings}


def by_impact_index(vectors: SparseVectors, queries: SparseVectors, k: int, folder: Path) -> Side:
    """Search with impact-index by its MaxScore."""
    import impact_index

    made: list[Any] = []

    def build() -> None:
        builder = impact_index.IndexBuilder(str(folder), impact_index.BuilderOptions())
        for row in range(len(vectors)):
            one = vectors[row : row + 1]
            builder.add(row, one.indices.astype(np.uint64), np.asarray(one.values))
        made.append(builder.build(True))

    took = seconds(build)
    asked = []
    for query in range(len(queries)):
        one = queries[query : query + 1]
        asked.append(dict(zip(one.indices.tolist(), one.values.tolist(), strict=True)))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Side(lambda: [[hit.docid for hit in made[0].search_maxscore(one, k)] for one in asked], size, took)


def reading_speed() -> float:
    """Return bytes a second that one thread reads from memory."""
    numbers = np.ones(2**26, np.float32)
    return numbers.nbytes / min(seconds(lambda: float(numbers @ numbers)) for _ in range(5))


@click.command()
@click.option("--data", default=None, help="Collection to encode with splade-tiny; synthetic vectors without.")
@click.option("--vectors", default=None, help="Folder with saved vectors, `documents` and `queries`, instead.")
@click.option("--documents", default=100_000, show_default=True, help="Documents, at most.")
@click.option("--queries", default=200, show_default=True, help="Queries, at most.")
@click.option("--terms", default=80, show_default=True, help="Terms of a synthetic document; a query has a fifth.")
@click.option("-k", default=10, show_default=True, help="Documents retrieved.")
@click.option("--seismic/--no-seismic", default=True, help="Build Seismic's index, too, which takes long.")
@click.option("--rounds", default=5, show_default=True, help="Searches of each side, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    data: str | None,
    vectors: str | None,
    documents: int,
    queries: int,
    terms: int,
    k: int,
    seismic: bool,
    rounds: int,
    as_json: bool,
) -> None:
    """Print milliseconds a query, bytes, recall, and ratios to the sweep."""
    held: Any
    asked: Any
    if data is not None:
        held, asked = encoded(data, documents, queries, Context())
    elif vectors is not None:
        held = open_vectors(Path(vectors) / "documents")[:documents]  # type: ignore[index]
        asked = open_vectors(Path(vectors) / "queries")[:queries]  # type: ignore[index]
    else:
        rng = np.random.default_rng(0)
        held, asked = synthetic(documents, terms, rng), synthetic(queries, max(1, terms // 5), rng)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(folder)
        need = Need(Recipe("vectors", "bench/vectors", "1"), lambda draft: save_vectors(held, draft.file("sparse")))
        sides = {
            "sweep": ours("impact", context, need, asked, k, method="sweep"),
            "sweep 8 bit": ours("impact", context, need, asked, k, method="sweep", precision="uint8"),
            "maxscore": ours("impact", context, need, asked, k, method="maxscore"),
            "maxscore 8 bit": ours("impact", context, need, asked, k, method="maxscore", precision="uint8"),
        }
        if find_spec("scipy"):
            sides["scipy"] = by_scipy(held, asked, k)
        if seismic and find_spec("seismic"):
            sides |= by_seismic(held, asked, k)
        if find_spec("impact_index"):
            sides["impact-index"] = by_impact_index(held, asked, k, Path(folder) / "impact-index")
        exact = sides["sweep"].search()
        found = {name: side.search() for name, side in sides.items()}
        times = {name: [] for name in sides}  # type: dict[str, list[float]]
        for _ in range(rounds):
            for name, side in sides.items():
                times[name].append(seconds(side.search))
    df = np.bincount(held.indices, minlength=held.width)
    postings = float(df[asked.indices].sum()) / max(1, len(asked))
    speed = reading_speed()
    result: dict[str, Any] = {
        "documents": len(held),
        "queries": len(asked),
        "k": k,
        "terms per document": round(len(held.values) / max(1, len(held)), 1),
        "terms per query": round(len(asked.values) / max(1, len(asked)), 1),
        "MB read per query": {"float32": round(postings * 8e-6, 3), "8 bit": round(postings * 5e-6, 3)},
        "limit, ms per query": {
            "float32": round(postings * 8e3 / speed, 4),
            "8 bit": round(postings * 5e3 / speed, 4),
        },
        "GB/s read": round(speed / 1e9, 1),
        "sides": {},
    }
    for name, side in sides.items():
        ratios = sorted(mine / base for mine, base in zip(times[name], times["sweep"], strict=True))
        shared = [len(np.intersect1d(a, b)) / max(1, len(b)) for a, b in zip(found[name], exact, strict=True)]
        result["sides"][name] = {
            "ms per query": round(statistics.median(times[name]) * 1e3 / len(asked), 4),
            "ratio": round(statistics.median(ratios), 2),
            "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
            "recall": round(float(np.mean(shared)), 4),
            "MB": round(side.bytes / 1e6, 1),
            "build s": round(side.build, 2),
        }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        if name != "sides":
            click.echo(f"{name:<22} {value}")
    for name, row in result["sides"].items():
        click.echo(f"{name:<16}" + "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()

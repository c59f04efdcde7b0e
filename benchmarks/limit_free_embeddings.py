"""Updates of free embeddings beside automatic differentiation over a dense relevance matrix, and the graph of judgments.

The peer is the published experiment's shape in torch: a mask of relevance, ``log_softmax``, autograd, torch's Adam, vectors
scaled to length 1; its loss is compared with ours after the timed updates. The graph of judgments is one sparse product
beside a comparison of all pairs of queries in Python.

python benchmarks/limit_free_embeddings.py --size 4,10 --size 12,50 --size 24,170
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import click
import numpy as np
import torch
from spaniel import Qrels
from spaniel_limit.free import Adam, InfoNce
from spaniel_limit.graph import qrel_graph
from spaniel_limit.patterns import all_sets, relevant_documents
from spaniel_limit.ranking import Wanted

TEMPERATURE, RATE = 0.1, 0.01


def ours(vectors: np.ndarray, sets: np.ndarray, n: int) -> Callable[[], float]:
    """Return a function that makes one update."""
    weights = vectors.copy()
    loss, adam, gradient = InfoNce(Wanted.from_sets(sets), n, TEMPERATURE), Adam(weights, RATE), np.empty_like(weights)
    count = len(sets)

    def update() -> float:
        value = loss(weights[:count], weights[count:], gradient)
        adam.step(weights, gradient)
        np.divide(weights, np.linalg.norm(weights, axis=1, keepdims=True), out=weights)
        return value

    return update


def peer(vectors: np.ndarray, sets: np.ndarray, n: int) -> Callable[[], float]:
    """Return a function that makes the same update by automatic differentiation."""
    queries, documents = (
        torch.nn.Parameter(torch.tensor(part)) for part in (vectors[: len(sets)], vectors[len(sets) :])
    )
    mask = torch.zeros(len(sets), n)
    mask.scatter_(1, torch.tensor(sets), 1.0)
    optimizer = torch.optim.Adam([queries, documents], lr=RATE)

    def update() -> float:
        optimizer.zero_grad()
        logits = torch.log_softmax(queries @ documents.T / TEMPERATURE, dim=1)
        value = -(logits * mask).sum() / mask.sum()
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for part in (queries, documents):
                part /= part.norm(dim=1, keepdim=True)
        return float(value.detach())

    return update


def graph_of_pairs(qrels: dict[str, dict[str, int]]) -> tuple[float, float]:
    """Return density and strength by comparing all pairs of queries."""
    sets = [set(judged) for judged in qrels.values()]
    weights = [len(a & b) / len(a | b) for a, b in combinations(sets, 2) if a & b]
    return 2 * len(weights) / (len(sets) * (len(sets) - 1)), 2 * sum(weights) / len(sets)


def seconds(work: Callable[[], Any], times: int = 1) -> float:
    """Return how long something takes, one time of several."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


@click.command()
@click.option("--size", "sizes", multiple=True, help="Dimensions and documents, as 4,10; repeatable.")
@click.option("--updates", default=50, show_default=True, help="Updates a repeat.")
@click.option("--repeats", default=5, show_default=True, help="Repeats of each side, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(sizes: tuple[str, ...], updates: int, repeats: int, as_json: bool) -> None:
    """Print microseconds of an update of each side, and ratios (below 1: ours is faster) with their spread."""
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "updates": []}
    for size in sizes or ("4,10", "8,28", "12,50", "16,79", "24,170"):
        d, n = map(int, size.split(","))
        sets = all_sets(n, 2)
        vectors = np.random.default_rng(0).standard_normal((len(sets) + n, d)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        mine, theirs = ours(vectors, sets, n), peer(vectors, sets, n)
        mine(), theirs()
        pairs = [(seconds(mine, updates), seconds(theirs, updates)) for _ in range(repeats)]
        ratios = [a / b for a, b in pairs]
        result["updates"].append(
            {
                "d": d,
                "n": n,
                "sets": len(sets),
                "ours_us": 1e6 * statistics.median(a for a, _ in pairs),
                "torch_us": 1e6 * statistics.median(b for _, b in pairs),
                "ratio": statistics.median(ratios),
                "spread": [min(ratios), max(ratios)],
                "losses": [mine(), theirs()],
            }
        )
    relevant = relevant_documents("dense", 1000, 46, 2, np.random.default_rng(0)).tolist()
    qrels = {f"q{query}": {f"d{document}": 1 for document in line} for query, line in enumerate(relevant)}
    judged = Qrels(qrels)
    found = qrel_graph(judged)
    expected = graph_of_pairs(qrels)
    if abs(found.density - expected[0]) > 1e-9 or abs(found.strength - expected[1]) > 1e-9:
        raise click.ClickException(f"the graphs differ: {found} and {expected}")
    pairs = [(seconds(lambda: qrel_graph(judged)), seconds(lambda: graph_of_pairs(qrels))) for _ in range(repeats)]
    result["graph"] = {
        "ours_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "pairs_ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(f"{result['threads']} threads")
    for one in result["updates"]:
        low, high = one["spread"]
        click.echo(
            f"d={one['d']:<3} n={one['n']:<4} {one['sets']:>6} sets  {one['ours_us']:>9.0f} µs, torch "
            f"{one['torch_us']:>9.0f} µs, ratio {one['ratio']:.2f} ({low:.2f} to {high:.2f})  losses "
            f"{one['losses'][0]:.4f} {one['losses'][1]:.4f}"
        )
    graph = result["graph"]
    click.echo(
        f"graph of 1,000 queries  {graph['ours_ms']:.1f} ms, all pairs {graph['pairs_ms']:.1f} ms, ratio {graph['ratio']:.3f}"
    )


if __name__ == "__main__":
    main()

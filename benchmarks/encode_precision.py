"""all-MiniLM-L6-v2 in bfloat16 beside float32: speed, and what becomes of the ranking, on a judged collection.

    python benchmarks/encode_precision.py path/to/beir-folder --split test

Both encode the whole collection in one process, chunk by chunk in turn, so that what else the machine does meets both. The
ranking is exact search by the cosine.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from spaniel import Context, Run, Stage
from spaniel.data import DenseVectors, FolderDataset
from spaniel.evaluation import evaluate
from spaniel.indexing import open_corpus
from spaniel_neural.devices import has_bfloat16

DTYPES = ("float32", "bfloat16")
CHUNK = 256
DEPTH = 10


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(folder: Path, split: str, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as store:
        context = Context(store, device="cpu")
        dataset = FolderDataset(folder)
        corpus, queries, qrels = open_corpus(context, dataset.documents()), dataset.queries(split), dataset.qrels(split)
        encoders = {dtype: context.create("encode", Stage("minilm", dtype=dtype)) for dtype in DTYPES}
        made: dict[str, list[np.ndarray]] = {dtype: [] for dtype in DTYPES}
        seconds = dict.fromkeys(DTYPES, 0.0)
        for encoder in encoders.values():
            encoder.encode(queries.texts[:32], "query")
        for start in range(0, len(corpus), CHUNK):
            texts = corpus.contents(range(start, min(start + CHUNK, len(corpus))))
            for dtype, encoder in encoders.items():
                started = time.perf_counter()
                made[dtype].append(encoder.encode(texts, "document")["dense"].values)
                seconds[dtype] += time.perf_counter() - started
        result: dict[str, Any] = {"collection": folder.name, "documents": len(corpus), "queries": len(queries)}
        result |= {"threads": torch.get_num_threads(), "native_bfloat16": has_bfloat16(torch.device("cpu"))}
        tops = {}
        for dtype, encoder in encoders.items():
            documents = DenseVectors(np.concatenate(made[dtype]), "cosine")
            scores = encoder.encode(queries.texts, "query")["dense"].dot(documents)
            tops[dtype] = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
            run = as_run(np.argsort(-scores, axis=1, kind="stable")[:, :100], scores)
            means = evaluate(run, queries, corpus, qrels, ["nDCG@10", "R@100"]).means
            result |= {f"{dtype}_{measure}": value for measure, value in means.items()}
            result[f"{dtype}_texts_per_second"] = len(corpus) / seconds[dtype]
        result["speed_ratio"] = seconds["float32"] / seconds["bfloat16"]
        cosines = (np.concatenate(made["float32"]) * np.concatenate(made["bfloat16"])).sum(axis=1)
        result["smallest_cosine"] = float(cosines.min())
        same = [len(np.intersect1d(a, b)) / DEPTH for a, b in zip(*tops.values(), strict=True)]
        result["shared_top_10"] = float(np.mean(same))
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:<28} {value if isinstance(value, str | bool | int) else format(value, '.4f')}")


def as_run(rows: np.ndarray, scores: np.ndarray) -> Run:
    """Return the run of ranked rows."""
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    taken = np.take_along_axis(scores, rows, axis=1)
    return Run.build(offsets, rows.reshape(-1).astype(np.int32), taken.reshape(-1).astype(np.float32))


if __name__ == "__main__":
    main()

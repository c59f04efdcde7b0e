"""Two million vectors, built and searched within stated bounds of memory.

    python benchmarks/dense_scale.py
    python benchmarks/dense_scale.py --index "quantized(bits=1, rescore=16)"

Vectors of half precision are made block by block and written to disk as an encoder would, so that they never lie in memory
whole. Each step is a process of its own, and its peak of memory is measured in two parts: what the process itself holds,
and what it shares with the system's file cache (mapped files, which the system takes back when it needs the room).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from spaniel import Context
from spaniel.data import DenseVectors, VectorWriter
from spaniel.indexing import index_need, open_needed
from spaniel.store import Need, Recipe

BLOCK = 50_000


def vectors_need(rows: int, dimensions: int) -> Need:
    """Name the vectors."""

    def build(draft: Any) -> None:
        centres = np.random.default_rng(0).standard_normal((1000, dimensions), dtype=np.float32)
        with VectorWriter(draft.file("dense"), rows) as writer:
            for start in range(writer.next_row, rows, BLOCK):
                writer.append(DenseVectors(some(start, min(BLOCK, rows - start), centres), "cosine"))

    return Need(Recipe("vectors", "benchmark/scale", "1", {"rows": rows, "dimensions": dimensions}), build)


def some(start: int, count: int, centres: Any) -> Any:
    """Make the vectors from one row on."""
    rng = np.random.default_rng(start + 1)
    made = centres[rng.integers(len(centres), size=count)] + rng.standard_normal((count, centres.shape[1]), np.float32)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


class Memory(threading.Thread):
    """Watches how much memory of its own the process holds, and how much it maps from files, ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.mapped = 0
        self.start()

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.own = max(self.own, int(fields["RssAnon"].split()[0]))
            self.mapped = max(self.mapped, int(fields["RssFile"].split()[0]))
            time.sleep(0.1)


def step(name: str, folder: str, index: str, rows: int, dimensions: int) -> dict[str, Any]:
    """Take one step in this process, and say what it cost."""
    memory, context, source = Memory(), Context(folder), vectors_need(rows, dimensions)
    started = time.perf_counter()
    result: dict[str, Any] = {"step": name}
    if name == "vectors":
        context.obtain(source)
    elif name == "build":
        artifact = context.obtain(index_need(context, index, source, "dense"))
        result["bytes_beside_the_vectors"] = sum(
            entry.bytes for file, entry in artifact.files.items() if not file.startswith("vectors/")
        )
    else:
        need = index_need(context, index, source, "dense")
        opened = open_needed(context, index, need)
        result["open_seconds"] = round(time.perf_counter() - started, 2)
        centres = np.random.default_rng(0).standard_normal((1000, dimensions), dtype=np.float32)
        asked = DenseVectors(some(rows, 256, centres), "cosine")
        exact = open_needed(context, "flat", index_need(context, "flat", source, "dense"))
        for count in (1, 256):
            opened.search(asked[:count], 10)
            started = time.perf_counter()
            found = opened.search(asked[:count], 10)
            result[f"ms_per_query_of_{count}"] = round(1000 * (time.perf_counter() - started) / count, 2)
        if index != "flat":
            true = exact.search(asked, 10)
            result["recall"] = round(
                float(np.mean([np.isin(true.of(q)[0], found.of(q)[0]).mean() for q in range(256)])), 4
            )
        started = time.perf_counter()
    result["seconds"] = round(time.perf_counter() - started, 1)
    time.sleep(0.2)
    return {**result, "own_mb": memory.own // 1024, "mapped_mb": memory.mapped // 1024}


@click.command()
@click.option("--rows", default=2_000_000, show_default=True, help="Vectors.")
@click.option("--dimensions", default=384, show_default=True, help="Numbers in a vector.")
@click.option("--index", default="flat", show_default=True, help="The index, as in an expression.")
@click.option("--folder", help="Where the store is; by default a temporary folder.")
@click.option("--own-mb", default=1024, show_default=True, help="Memory of its own that no step may exceed, in MiB.")
@click.option("--step", "only", hidden=True)
def main(rows: int, dimensions: int, index: str, folder: str | None, own_mb: int, only: str | None) -> None:
    """Print what each step took, and fail where one held more memory than it may."""
    if only:
        assert folder is not None
        click.echo(json.dumps(step(only, folder, index, rows, dimensions)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        common = ["--rows", str(rows), "--dimensions", str(dimensions), "--folder", folder or temporary]
        worst = 0
        for name, what in (("vectors", index), ("build", "flat"), ("build", index), ("search", index)):
            command = [sys.executable, __file__, *common, "--index", what, "--step", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
            click.echo(f"{what}: {done.strip()}")
            worst = max(worst, json.loads(done)["own_mb"])
    if worst > own_mb:
        raise SystemExit(f"a step held {worst} MiB of its own, more than {own_mb}")


if __name__ == "__main__":
    main()

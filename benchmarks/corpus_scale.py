"""How large corpora behave: building, opening, searching by row and by id, iterating; time, disk, peak memory.

python benchmarks/corpus_scale.py --documents 2000000
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from spaniel.data import Corpus, Document, documents_need
from spaniel.memory import PeakMemory
from spaniel.store import Store

WORDS = 60
LOOK_UPS = 100_000
BATCH = 1000


def generate(count: int) -> Iterator[Document]:
    """Yield documents of about 60 words, with unique ids in an order that is far from sorted."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{number}" for number in range(20_000)]
    pool = [vocabulary[number] for number in rng.integers(len(vocabulary), size=1_000_003).tolist()]
    for number in range(count):
        start = number * 7919 % (len(pool) - WORDS)
        name = f"doc{number * 2_654_435_761 % 2**32:010d}"
        yield Document(name, f"title {number}", " ".join(pool[start : start + WORDS]), {"year": 1900 + number % 125})


def measure(rows: list[dict[str, Any]], step: str, documents: int, work: Callable[[], Any]) -> Any:
    """Run one step and note its seconds and peak memory; the rate is null where no documents are read."""
    memory = PeakMemory()
    started = time.perf_counter()
    with memory:
        result = work()
    seconds = time.perf_counter() - started
    rate = documents / seconds if documents else None
    rows.append({"step": step, "documents": documents, "seconds": seconds, "rate": rate, "peak_memory": memory.peak})
    return result


def run(count: int, folder: Path) -> dict[str, Any]:
    """Measure every step; the store lies in ``folder``."""
    steps: list[dict[str, Any]] = []
    rng = np.random.default_rng(1)
    measure(steps, "generate alone", count, lambda: sum(1 for _ in generate(count)))
    need = documents_need(lambda: generate(count), "spaniel/benchmark", {"documents": str(count)})
    artifact = measure(steps, "build", count, lambda: Store(folder).obtain(need))
    corpus: Corpus = measure(steps, "open", 0, lambda: Corpus.open(Store(folder).open(artifact.address), need))
    rows = rng.integers(len(corpus), size=LOOK_UPS)
    names = measure(steps, "ids of random rows", LOOK_UPS, lambda: corpus.ids(rows))
    found = measure(steps, "rows of ids", LOOK_UPS, lambda: corpus.rows(names))
    measure(steps, "texts of random rows", LOOK_UPS, lambda: corpus.contents(rows))
    iterated = measure(steps, "iterate", count, lambda: sum(len(batch.documents) for batch in corpus.batches(BATCH)))
    if not np.array_equal(found, rows) or iterated != len(corpus) or len(corpus) != count:
        raise SystemExit("the corpus does not hold what was put in")
    return {
        "documents": count,
        "characters": artifact.info["characters"],
        "bytes": artifact.bytes,
        "steps": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="where the store is made, and removed afterwards")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spaniel-", dir=options.folder) as folder:
        result = run(options.documents, Path(folder))
    if options.json:
        print(json.dumps(result, indent=1))
        return
    size = result["bytes"] / 2**20
    print(f"{result['documents']:,} documents, {result['characters']:,} characters, {size:,.0f} MiB on disk\n")
    print(f"{'step':<24}{'documents':>12}{'seconds':>10}{'documents/s':>14}{'peak MiB':>10}")
    for step in result["steps"]:
        documents, rate = (f"{step[name]:,.0f}" if step[name] else "-" for name in ("documents", "rate"))
        peak = step["peak_memory"] / 2**20
        print(f"{step['step']:<24}{documents:>12}{step['seconds']:>10.2f}{rate:>14}{peak:>10,.0f}")


if __name__ == "__main__":
    main()

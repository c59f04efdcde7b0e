"""Makes the pool that the judgments of python-docs are made from, without telling which system found what.

python pool_python_docs.py QUERIES.jsonl POOL.tsv --depth 6 --seed 7
"""

from __future__ import annotations

import random
from pathlib import Path

import click
from spaniel import Context, Queries
from spaniel.collections import find_dataset
from spaniel.data.readers import read_queries
from spaniel.indexing import open_corpus

SYSTEMS = (
    "bm25",
    "bm25(analyzer=char-ngrams(n=4), b=0.4)",
    "dense",
    "bm25(b=1, k1=0.6)",
    "rrf(bm25, dense)",
)
"""Lexical by words and by n-grams, dense, one that favours short documents, and a fusion."""


@click.command()
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.argument("pool", type=click.Path(path_type=Path))
@click.option("--depth", default=6, show_default=True, help="Documents taken from each system.")
@click.option("--seed", default=7, show_default=True, help="Seed of the order in which a pool is shown.")
def main(queries: Path, pool: Path, depth: int, seed: int) -> None:
    """Write query, document and the beginning of its text, shuffled within each query."""
    context = Context()
    corpus = open_corpus(context, find_dataset(context, "python-docs").documents())
    asked: Queries = read_queries(queries)
    runs = [context.run(f"{system} % {depth}", asked, corpus) for system in SYSTEMS]
    rng = random.Random(seed)
    with pool.open("w", encoding="utf-8") as file:
        for position, name in enumerate(asked.ids):
            rows = sorted({int(row) for run in runs for row in run.of(position)[0]})
            rng.shuffle(rows)
            for document in corpus.documents(rows):
                text = " ".join(document.text.split())[:300]
                file.write(f"{name}\t{document.id}\t{text}\n")


if __name__ == "__main__":
    main()

"""What the headline check is made of: rows of a collection, trainings, and measuring them in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Context, Run, UsageError
from spaniel.data import SparseVectors, concatenate_vectors, topk
from spaniel.evaluation import evaluate

from spaniel_inference_free_sparse.efficiency import flops, light_share, mean_terms

if TYPE_CHECKING:
    from spaniel.system import Task
    from spaniel_train.rows import Row

MODEL = "package:cognition/model"
LENGTH = 96
"""Tokens of a document that are read, in training and in measuring."""
CANDIDATES = 30
"""Documents of the first retrieval among which negatives are drawn."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_SHARD = 512


@dataclass(frozen=True)
class Measured:
    """A trained encoder on a collection.

    Attributes:
        ndcg: nDCG@10.
        flops: see :func:`spaniel_inference_free_sparse.efficiency.flops`.
        terms: of a document.
        light: share of the documents' weight on the 5 % of terms with the lowest IDF.
    """

    ndcg: float
    flops: float
    terms: float
    light: float


def make_rows(context: Context, task: Task, count: int, negatives: int) -> list[Row]:
    """Return rows of documents that are drawn by the session's seed; no judgment is looked at.

    A title of three words or more is the query, and the text its answer; where titles are shorter, a sentence of the text is,
    and the rest of the document answers it. Negatives are drawn among the first documents that BM25 finds for it.
    """
    from spaniel import Queries
    from spaniel_train.rows import Row

    rng = context.rng("inference-free-sparse", "rows")
    chosen = rng.permutation(len(task.corpus))[: 4 * count]
    pairs = []
    for row, document in zip(chosen.tolist(), task.corpus.documents(chosen), strict=True):
        pair = _pair(document.title.strip(), document.text.strip(), rng)
        if pair is not None:
            pairs.append((row, *pair))
        if len(pairs) == count:
            break
    queries = Queries.from_lists([str(number) for number in range(len(pairs))], [query for _, query, _ in pairs])
    found = context.run(f"bm25(k={CANDIDATES})", queries, task.corpus)
    rows = []
    for number, (own, query, answer) in enumerate(pairs):
        listed = [row for row in found.of(number)[0].tolist() if row != own]
        drawn = rng.permutation(listed)[:negatives].astype(int).tolist()
        if len(drawn) == negatives:
            rows.append(Row(query, (answer,), tuple(task.corpus.contents(drawn))))
    if not rows:
        raise UsageError(
            f"{task.dataset.name} has no document whose title (of three words and more) or a sentence could be a query; choose "
            "another collection"
        )
    return rows


def _pair(title: str, text: str, rng: np.random.Generator) -> tuple[str, str] | None:
    if len(title.split()) >= 3:
        rest = text[len(title) :].lstrip(" .\n\t") if text.lower().startswith(title.lower()) else text
        return (title, rest) if len(rest.split()) >= 10 else None
    sentences = [one.strip() for one in _SENTENCE.split(text) if one.strip()]
    able = [number for number, one in enumerate(sentences) if 5 <= len(one.split()) <= 30 and one[0].isalpha()]
    if not able or len(sentences) < 2:
        return None
    number = int(rng.choice(able))
    return " ".join(sentences[number].split()), " ".join([title, *sentences[:number], *sentences[number + 1 :]])


def train(
    context: Context, base: Path, rows: Path, out: Path, objective: str, weight: float, steps: int, negatives: int
) -> None:
    """Train an encoder by a recipe: one objective, and grouped FLOPS with a quadratic ramp over the first third."""
    from spaniel_train.recipe import Recipe
    from spaniel_train.training import Training

    ramp = {"end": weight, "steps": max(1, steps // 3), "shape": "quadratic"}
    recipe = Recipe.model_validate(
        {
            "model": {"kind": "sparse", "base": str(base), "max_length": LENGTH},
            "data": [{"rows": str(rows)}],
            "objectives": [{"use": objective}, {"use": "grouped-flops", "weight": ramp}],
            "optimizer": {"use": "adamw(learning_rate=5e-4)", "clip": None},
            "batches": {"size": 12, "negatives": negatives, "part": 64},
            "steps": steps,
            "checkpoint": steps,
            "dtype": "bfloat16",
            "seed": context.seed,
        }
    )
    Training(context, recipe, out).run(again=False)


def encode(context: Context, task: Task, model: str, idf: str) -> tuple[SparseVectors, SparseVectors, Any]:
    """Return the queries' and the documents' vectors, and the encoder; no vector goes to the store."""
    from spaniel import Stage

    encoder: Any = context.create(
        "encode", Stage("inference-free", model=model, idf=idf, max_length=LENGTH, dtype="bfloat16")
    )
    queries = encoder.encode(task.queries.texts, "query")["sparse"]
    parts = []
    for start in range(0, len(task.corpus), _SHARD):
        texts = task.corpus.contents(range(start, min(len(task.corpus), start + _SHARD)))
        parts.append(encoder.encode(texts, "document")["sparse"])
    return queries, concatenate_vectors(parts), encoder


def measure(task: Task, queries: SparseVectors, documents: SparseVectors, encoder: Any) -> Measured:
    """Search exactly, and measure what the search finds and costs."""
    value = ndcg(task, queries.dot(documents))
    counted = np.flatnonzero(encoder.weighing.counts.frequencies > 0)
    light = light_share(documents, encoder.table.weights, counted)
    return Measured(value, flops(queries, documents), mean_terms(documents), light)


def ndcg(task: Task, scores: NDArray[np.float32]) -> float:
    """Return nDCG@10 of scores, ``(queries, documents)``."""
    rows, best = topk(scores, 100)
    run = Run.from_matrix(rows, best)
    assert task.qrels is not None
    (made,) = evaluate(run, task.queries, task.corpus, task.qrels, ["nDCG@10"]).means.values()
    return float(made)


def label(context: Context, rows: Sequence[Row], teachers: Sequence[str], place: Path) -> list[Path]:
    """Write the rows with the scores of all teachers together, and of each alone; return the files in this order."""
    from spaniel_train.material import Material
    from spaniel_train.rows import to_lines

    from spaniel_inference_free_sparse.config import EnsembleLabelsConfig
    from spaniel_inference_free_sparse.labels import EnsembleLabels
    from spaniel_inference_free_sparse.teacher import Member

    members = [Member(context, expression) for expression in teachers]
    files = []
    for number, chosen in enumerate([list(range(len(members))), *([n] for n in range(len(members)))]):
        labels = EnsembleLabels(EnsembleLabelsConfig(members=tuple(teachers[n] for n in chosen)), context)
        # The vectors of texts are made once for all files.
        labels.ensemble.members = [members[n] for n in chosen]
        with context.stage("teacher scores", len(rows), "rows", phase="build"):
            made = labels.make(Material("rows", "", rows=rows), 0, len(rows))
            context.advance(len(rows))
        files.append(place / f"rows-{number}.jsonl")
        files[-1].write_text(to_lines(made.rows), encoding="utf-8")
    return files


def pool_quality(context: Context, task: Task, teachers: Sequence[str], depth: int = 20) -> dict[str, float]:
    """Return nDCG@10 of each teacher and of their ensemble, over the first documents of BM25 for each query."""
    from spaniel_inference_free_sparse.config import EnsembleConfig
    from spaniel_inference_free_sparse.teacher import Ensemble

    first = context.run(f"bm25(k={depth})", task.queries, task.corpus)
    pool, columns = np.unique(first.rows, return_inverse=True)
    wanted = np.zeros((len(task.queries), len(pool)), bool)
    wanted[first.owners, columns] = True
    ensemble = Ensemble(context, EnsembleConfig(members=tuple(teachers)))
    texts = task.corpus.contents(pool)
    quality = {}
    with context.stage("teachers", len(teachers) + 1, "rankings"):
        rankers: list[tuple[str, Any]] = [(m.expression.partition("(")[0], m) for m in ensemble.members]
        for name, one in [*rankers, ("ensemble", ensemble)]:
            scores = one.matrix(task.queries.texts, texts, wanted)
            run = Run.build(first.offsets, first.rows, np.ascontiguousarray(scores[first.owners, columns]))
            assert task.qrels is not None
            (quality[name],) = evaluate(run, task.queries, task.corpus, task.qrels, ["nDCG@10"]).means.values()
            context.advance(1)
    return {name: float(value) for name, value in quality.items()}

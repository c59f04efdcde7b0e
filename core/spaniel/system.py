"""A system: a pipeline run and measured on a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spaniel.data import Corpus, Qrels, Queries, Run
from spaniel.evaluation import Evaluation, evaluate
from spaniel.indexing import open_corpus
from spaniel.pipeline import Pipeline
from spaniel.pipeline.run import StageCost, build, run_pipeline

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.protocols import Dataset


CURRENCIES = ("pairs scored", "texts encoded", "index calls", "proxy calls")
"""What methods count beside model calls and tokens, where the budgets of the field are stated in it."""


@dataclass(frozen=True)
class Task:
    """A collection with one of its splits, opened."""

    dataset: Dataset
    split: str
    corpus: Corpus
    queries: Queries
    qrels: Qrels | None


@dataclass(frozen=True)
class System:
    """What a pipeline did on a task."""

    pipeline: Pipeline
    run: Run
    evaluation: Evaluation | None
    stages: tuple[StageCost, ...]
    cost: dict[str, float]


def open_task(context: Context, dataset: Dataset, split: str | None) -> Task:
    """Open a collection: its corpus, and the queries and judgments of a split where it has splits."""
    from spaniel.collections import choose_split

    corpus = open_corpus(context, dataset.documents())
    if not dataset.splits and split is None:
        return Task(dataset, "", corpus, dataset.queries(""), None)
    chosen = choose_split(dataset, split)
    return Task(dataset, chosen, corpus, dataset.queries(chosen), dataset.qrels(chosen))


def run_system(context: Context, pipeline: Pipeline, task: Task, measures: Sequence[str]) -> System:
    """Build what a pipeline needs, run it on a task, and measure it where the task has judgments."""
    loaded = context.loading
    artifacts = build(context, pipeline, task.corpus.need)
    outcome = run_pipeline(context, pipeline, task.queries, task.corpus, measure_memory=True)
    evaluation = None
    if task.qrels is not None:
        evaluation = evaluate(outcome.run, task.queries, task.corpus, task.qrels, measures)
    made = [artifact for artifact in artifacts if artifact.recipe.type != "corpus"]
    counts: dict[str, float] = {}
    for stage in outcome.stages:
        for name, amount in stage.counts.items():
            counts[name] = counts.get(name, 0) + amount
    cost = {
        "ms_per_query": 1000 * sum(stage.seconds for stage in outcome.stages) / max(1, len(task.queries)),
        "load_seconds": context.loading - loaded,
        "build_seconds": sum(artifact.seconds for artifact in made),
        "bytes_on_disk": sum(artifact.bytes for artifact in made),
        "peak_memory_bytes": max(stage.peak_memory for stage in outcome.stages),
        "model_calls": counts.get("model calls", 0),
        **{name.replace(" ", "_"): counts.get(name, 0) for name in CURRENCIES},
        "tokens": sum(amount for name, amount in counts.items() if name.endswith("tokens")),
        "price": counts.get("cost", 0),
    }
    return System(pipeline, outcome.run, evaluation, outcome.stages, cost)


def describe_task(task: Task) -> dict[str, Any]:
    """Return plain data that tells readers what was searched."""
    return {
        "name": task.dataset.name,
        "split": task.split,
        "documents": len(task.corpus),
        "queries": len(task.queries),
        "corpus": task.corpus.need.recipe.address,
        "corpus_digest": task.corpus.digest,
        "queries_digest": task.queries.digest,
    }

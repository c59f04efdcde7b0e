"""A system: a pipeline run and measured on a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spaniel.data import Corpus, Judging, Qrels, Queries, Run, without_own
from spaniel.evaluation import Evaluation, check_judgments, evaluate
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
    """A collection with one of its splits, opened.

    Attributes:
        own_left_out: whether each query's own document is left out of its list.
    """

    dataset: Dataset
    split: str
    corpus: Corpus
    queries: Queries
    qrels: Qrels | None
    own_left_out: bool = False


@dataclass(frozen=True)
class System:
    """What a pipeline did on a task."""

    pipeline: Pipeline
    run: Run
    evaluation: Evaluation | None
    stages: tuple[StageCost, ...]
    cost: dict[str, float]


def open_task(
    context: Context, dataset: Dataset, split: str | None, rel: float | None = None, leave_out_own: bool | None = None
) -> Task:
    """Open a collection: its corpus, and the queries and judgments of a split where it has splits.

    Args:
        context: the session.
        dataset: the collection; its ``judging``, where it has one, says what is relevant.
        split: the split, by default ``test`` or the only one.
        rel: the grade from which on a document is relevant, instead of the collection's own.
        leave_out_own: whether each query's own document is left out, instead of the collection's own rule.
    """
    from spaniel.collections import choose_split

    corpus = open_corpus(context, dataset.documents())
    judging = getattr(dataset, "judging", Judging()).but(rel, leave_out_own)
    if not dataset.splits and split is None:
        return Task(dataset, "", corpus, dataset.queries(""), None, judging.leave_out_own)
    chosen = choose_split(dataset, split)
    qrels: Qrels = dataset.qrels(chosen)
    qrels = qrels if rel is None else qrels.with_level(judging.rel)
    qrels = qrels.without_own() if judging.leave_out_own else qrels
    queries = dataset.queries(chosen)
    # A judged query that the collection lacks, and was told to leave out, is not one that found nothing.
    asked = set(queries.ids)
    qrels = qrels.select([name for name in qrels if name in asked])
    return Task(dataset, chosen, corpus, queries, qrels, judging.leave_out_own)


def run_system(context: Context, pipeline: Pipeline, task: Task, measures: Sequence[str]) -> System:
    """Build what a pipeline needs, run it on a task, and measure it where the task has judgments."""
    if task.qrels is not None:
        check_judgments(measures, task.qrels)
    loaded = context.loading
    artifacts = build(context, pipeline, task.corpus.need)
    outcome = run_pipeline(context, pipeline, task.queries, task.corpus, measure_memory=True)
    run = without_own(outcome.run, task.queries, task.corpus) if task.own_left_out else outcome.run
    evaluation = None
    if task.qrels is not None:
        evaluation = evaluate(run, task.queries, task.corpus, task.qrels, measures)
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
    return System(pipeline, run, evaluation, outcome.stages, cost)


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
        "rel": task.qrels.level if task.qrels is not None else None,
        "own_documents": "left out" if task.own_left_out else "kept",
    }

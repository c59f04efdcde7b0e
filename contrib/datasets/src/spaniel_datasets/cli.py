"""``spaniel datasets``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from spaniel import Context
from spaniel.cli.common import left_out, on_error_option, reading_of, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.collections import DATASET, find_dataset
from spaniel.data import Corpus, FilesDataset, OnError, open_folder, write_folder
from spaniel.indexing import open_corpus
from spaniel.plugins import Registered
from spaniel.protocols import Dataset

from spaniel_datasets import registered


@click.group()
def datasets() -> None:
    """List, show, add and export collections."""


@datasets.command(name="list")
@json_option
@click.pass_obj
def list_(state: State, as_json: bool) -> None:
    """List the collections that have a name."""
    found = state.registry.components(DATASET)
    if as_json:
        print_json([{"name": r.name, "distribution": r.distribution, "summary": r.component.summary} for r in found])
        return
    names = [r.name if _stands_alone(r) else f"{r.name}:…" for r in found]
    width = max(map(len, names))
    for name, r in zip(names, found, strict=True):
        click.echo(f"{name:<{width}}  {r.component.summary}")


def _stands_alone(registered: Registered) -> bool:
    """Whether a collection is named by its name alone, and not as ``family:name``."""
    if not registered.component.config:
        return True
    fields = registered.config_model().model_fields
    return not any(field.is_required() and name not in registered.component.options for name, field in fields.items())


@datasets.command()
@click.argument("data")
@on_error_option
@json_option
@running_options
@click.pass_obj
def show(state: State, /, data: str, on_error: OnError, as_json: bool, **settings: Any) -> None:
    """Show what a collection holds: documents, queries, judgments, and what was left out."""
    with running(state, **settings) as context:
        dataset = find_dataset(context, data, on_error)
        corpus = open_corpus(context, dataset.documents())
        info = dict(corpus.info)
        reading = reading_of(dataset, corpus)
        unread = dict(getattr(dataset, "unread", {}))
        splits = {split: _describe(dataset, split, corpus) for split in dataset.splits}
        left_out(dataset, corpus)
    if as_json:
        told_apart = {"reading": reading} if reading else {"unread": unread}
        print_json({"name": dataset.name, "corpus": info, "splits": splits, **told_apart})
        return
    click.echo(click.style(dataset.name, bold=True))
    for key, value in info.items():
        if key == "files":
            continue  # told above
        click.echo(f"  {key:<14} {value}")
    for split, facts in splits.items():
        click.echo(f"  split {split}")
        for key, value in facts.items():
            click.echo(f"    {key:<24} {value}")


def _describe(dataset: Dataset, split: str, corpus: Corpus) -> dict[str, Any]:
    queries, qrels = dataset.queries(split), dataset.qrels(split)
    judged = sorted({document for grades in qrels.values() for document in grades})
    grades = Counter(grade for grades in qrels.values() for grade in grades.values())
    return {
        "queries": len(queries),
        "judgments": sum(grades.values()),
        "grades": {str(grade): count for grade, count in sorted(grades.items())},
        "relevant per query": round(sum(len(qrels.relevant(name)) for name in qrels) / max(1, len(qrels)), 2),
        "judged but not there": int((corpus.rows(judged) < 0).sum()) if judged else 0,
    }


@datasets.command()
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_obj
def add(state: State, name: str, folder: Path) -> None:
    """Give a FOLDER a NAME that works wherever a collection is asked for."""
    open_folder(folder)
    if state.registry.has(DATASET, name):
        raise click.UsageError(f"there is a collection {name!r} already")
    registered.add(name, folder)
    click.echo(f"{name} is {folder.resolve()}")


@datasets.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a NAME that was added; the folder stays."""
    registered.remove(name)
    click.echo(f"forgot {name}")


@datasets.command()
@click.argument("data")
@click.argument("folder", type=click.Path(path_type=Path))
@on_error_option
@running_options
@click.pass_obj
def export(state: State, /, data: str, folder: Path, on_error: OnError, **settings: Any) -> None:
    """Write a collection to a FOLDER in BEIR layout."""
    with running(state, **settings) as context:
        dataset = find_dataset(context, data, on_error)
        corpus = open_corpus(context, dataset.documents())
        splits = {split: dataset.qrels(split) for split in dataset.splits}
        queries = dataset.queries(dataset.splits[0]) if len(dataset.splits) == 1 else _all_queries(dataset)
        left_out(dataset, corpus)
        write_folder(folder, _documents(context, corpus), queries, splits, getattr(dataset, "judging", None))
    click.echo(f"wrote {len(corpus)} documents and {len(queries)} queries to {folder}")


def _documents(context: Context, corpus: Corpus) -> Any:
    with context.stage("export", len(corpus), "documents"):
        for batch in corpus.batches(5000):
            yield from batch.documents
            context.advance(len(batch.documents))


def _all_queries(dataset: Dataset) -> Any:
    from spaniel import Queries

    found: dict[str, tuple[str, Any]] = {}
    for split in () if isinstance(dataset, FilesDataset) else dataset.splits or ("",):
        queries = dataset.queries(split)
        metadata: Any = queries.metadata or [{}] * len(queries)
        found.update(zip(queries.ids, zip(queries.texts, metadata, strict=True), strict=True))
    return Queries.from_lists(list(found), [text for text, _ in found.values()], [m for _, m in found.values()])

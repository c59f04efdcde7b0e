"""``spaniel search``."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from spaniel.cli.common import expression_argument, left_out, on_error_option, reading_of, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.collections import find_dataset
from spaniel.context import Context
from spaniel.data import Corpus, OnError, Queries, Run
from spaniel.explain import flows_of, rewritings
from spaniel.indexing import open_corpus

_SHOWN = 160
"""Characters of a text that are shown."""
_LEAD = 60
"""Characters of them before the first word of the query."""


def run_query(context: Context, expression: str, data: str, on_error: OnError, query: str) -> tuple[Run, Corpus]:
    """Run a pipeline on a text; return its list, and the corpus."""
    pipeline = context.pipeline(expression)
    dataset = find_dataset(context, data, on_error)
    corpus = open_corpus(context, dataset.documents())
    left_out(dataset, corpus)
    return context.run(pipeline, Queries.from_lists(["query"], [query]), corpus), corpus


@click.command()
@expression_argument
@click.argument("data")
@click.argument("query")
@click.option("-k", "--top", default=10, show_default=True, type=click.IntRange(1), help="Documents shown.")
@on_error_option
@json_option
@running_options
@click.pass_obj
def search(
    state: State, /, expression: str, data: str, query: str, top: int, on_error: OnError, as_json: bool, **settings: Any
) -> None:
    """Search a collection for a text and show the best documents."""
    with running(state, **settings) as context:
        pipeline = context.pipeline(expression)
        dataset = find_dataset(context, data, on_error)
        corpus = open_corpus(context, dataset.documents())
        left_out(dataset, corpus)
        flows = flows_of(context, pipeline, query, corpus)
        run = flows[-1].run
        assert run is not None  # pipelines end with one
        run = run.cut(top)
        rewritten = rewritings(pipeline, flows)
        documents = corpus.documents(run.rows)
    hits = [
        {"rank": rank, "id": d.id, "score": float(score), "title": d.title, "text": d.text, "metadata": d.metadata}
        for rank, (d, score) in enumerate(zip(documents, run.scores, strict=True), 1)
    ]
    if as_json:
        asked = [{"stage": name, "texts": texts} for name, texts in rewritten]
        print_json({"query": query, "rewritten": asked, "hits": hits, "reading": reading_of(dataset, corpus)})
        return
    for name, texts in rewritten:
        click.echo(f"{_printable(name)}: {', '.join(f'“{_printable(text)}”' for text in texts)}")
    for hit in hits:
        name = click.style(_printable(hit["id"]), bold=True)
        click.echo(f"{hit['rank']:>3}  {hit['score']:>9.4f}  {name}  {_printable(hit['title'])}")
        text = _snippet(_printable(hit["text"]), query)
        if text:
            click.echo(f"                {text}")
    if not hits:
        click.echo("no document matches")


def _printable(text: Any) -> str:
    """Return a text in one line, without what steers a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _snippet(text: str, query: str) -> str:
    """Return the part of a text around the first word of the query that it has, else its beginning."""
    lower = text.casefold()
    places = [lower.find(word) for word in query.casefold().split()]
    found = [place for place in places if place >= 0] if len(lower) == len(text) else []
    begin = max(0, min(found, default=0) - _LEAD)
    begin = text.find(" ", begin) + 1 if begin and len(text) > _SHOWN else 0
    return ("… " if begin else "") + textwrap.shorten(text[begin:], _SHOWN, placeholder=" …")

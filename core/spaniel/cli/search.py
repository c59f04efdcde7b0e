"""``spaniel search``."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from spaniel.cli.common import expression_argument, on_error_option, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.collections import find_dataset
from spaniel.context import Context
from spaniel.data import Corpus, OnError, Queries, Run
from spaniel.indexing import open_corpus


def run_query(context: Context, expression: str, data: str, on_error: OnError, query: str) -> tuple[Run, Corpus]:
    """Run a pipeline on a text; return its list, and the corpus."""
    pipeline = context.pipeline(expression)
    corpus = open_corpus(context, find_dataset(context, data, on_error).documents())
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
        run, corpus = run_query(context, expression, data, on_error, query)
        run = run.cut(top)
        documents = corpus.documents(run.rows)
    hits = [
        {"rank": rank, "id": d.id, "score": float(score), "title": d.title, "text": d.text}
        for rank, (d, score) in enumerate(zip(documents, run.scores, strict=True), 1)
    ]
    if as_json:
        print_json({"query": query, "hits": hits})
        return
    for hit in hits:
        click.echo(f"{hit['rank']:>3}  {hit['score']:>9.4f}  {click.style(hit['id'], bold=True)}  {hit['title']}")
        text = textwrap.shorten(str(hit["text"]), 160, placeholder=" …")
        if text:
            click.echo(f"                {text}")
    if not hits:
        click.echo("no document matches")

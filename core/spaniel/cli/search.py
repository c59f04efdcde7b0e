"""``spaniel search`` and ``spaniel explain``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import click

from spaniel.cli.common import json_option, on_error_option, print_json, running, running_options
from spaniel.cli.main import State
from spaniel.collections import find_dataset
from spaniel.context import Context
from spaniel.data import Corpus, OnError, Queries, Run
from spaniel.errors import UsageError
from spaniel.explain import explain_pipeline
from spaniel.indexing import open_corpus


def _search(context: Context, expression: str, data: str, on_error: OnError, query: str) -> tuple[Run, Corpus]:
    pipeline = context.pipeline(expression)
    corpus = open_corpus(context, find_dataset(context, data, on_error).documents())
    return context.run(pipeline, Queries.from_lists(["query"], [query]), corpus), corpus


@click.command()
@click.argument("expression")
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
        run, corpus = _search(context, expression, data, on_error, query)
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


@click.command()
@click.argument("expression")
@click.argument("data")
@click.argument("query")
@click.option("--document", "documents", multiple=True, metavar="ID", help="Document to explain; by default the best.")
@click.option("--explainer", help="Component of kind explain; by default the first that takes the last stage.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write .json, .html, .png or .txt."
)
@on_error_option
@json_option
@running_options
@click.pass_obj
def explain(
    state: State,
    /,
    expression: str,
    data: str,
    query: str,
    documents: tuple[str, ...],
    explainer: str | None,
    output: Path | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show why a document got its score for a query."""
    if output is not None and len(documents) > 1:
        raise UsageError("-o writes one explanation: give one --document")
    with running(state, **settings) as context:
        run, corpus = _search(context, expression, data, on_error, query)
        if documents:
            rows = [int(row) for row in corpus.rows(documents)]
            unknown = [name for name, row in zip(documents, rows, strict=True) if row < 0]
            if unknown:
                raise UsageError(f"the collection has no document {', '.join(map(repr, unknown))}")
        else:
            rows = [int(row) for row in run.rows[:1]]
        if not rows:
            raise UsageError(f"no document matches {query!r}: there is nothing to explain")
        explanations = explain_pipeline(context, expression, query, rows, corpus, explainer)
    if output is not None:
        explanations[0].save(output)
    if as_json:
        print_json([explanation.to_json() for explanation in explanations])
    elif output is None:
        click.echo("\n\n".join(explanation.to_text() for explanation in explanations))
    else:
        click.echo(f"wrote {output}")

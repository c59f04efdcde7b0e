"""``spaniel explain``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from spaniel.cli.common import check_output, expression_argument, on_error_option, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.cli.search import run_query
from spaniel.data import Corpus, OnError, Run
from spaniel.errors import UsageError
from spaniel.explain import explain_pipeline
from spaniel.explanation import Contrast, Explanation


@click.command()
@expression_argument
@click.argument("data")
@click.argument("query")
@click.option("--document", "documents", multiple=True, metavar="ID", help="Document to explain; by default the best.")
@click.option("--against", metavar="ID", help="Why the document and not this one: the difference, part by part.")
@click.option("--explainer", help="Component of kind explain; by default the first that takes the stage.")
@click.option("--stage", type=click.IntRange(1), help="Stage to explain, from 1; by default the last that scores.")
@click.option("--parts", type=click.IntRange(1), default=20, show_default=True, help="Parts printed.")
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
    against: str | None,
    explainer: str | None,
    stage: int | None,
    parts: int,
    output: Path | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show why a document got its score for a query, or why one did and not another.

    \b
    spaniel explain "rrf(bm25, dense)" python-docs "read a csv file"
    spaniel explain dense python-docs "read a csv file" --explainer "occlusion(side=document)" -o why.html
    """
    check_output(output)
    if len(documents) > 1 and (output is not None or against is not None):
        raise UsageError(f"{'-o writes' if output else '--against takes'} one explanation: give one --document")
    with running(state, **settings) as context:
        run, corpus = run_query(context, expression, data, on_error, query)
        rows = _rows(documents, run, corpus)
        if not rows:
            raise UsageError(f"no document matches {query!r}: there is nothing to explain")
        rows += [] if against is None else _rows((against,), run, corpus)
        explanations = explain_pipeline(context, expression, query, rows, corpus, explainer, stage=stage)
    made: list[Explanation | Contrast] = [*explanations] if against is None else [Contrast(*explanations)]
    if output is not None:
        made[0].save(output)
    if as_json:
        print_json([one.to_json() for one in made])
    elif output is None:
        columns = shutil.get_terminal_size((100, 24)).columns
        click.echo("\n\n".join(one.to_text(parts=parts, colour=_has_colour(), columns=columns) for one in made))
    else:
        click.echo(f"wrote {output}")


def _rows(documents: tuple[str, ...], run: Run, corpus: Corpus) -> list[int]:
    if not documents:
        return [int(row) for row in run.rows[:1]]
    rows = [int(row) for row in corpus.rows(documents)]
    unknown = [name for name, row in zip(documents, rows, strict=True) if row < 0]
    if unknown:
        raise UsageError(f"the collection has no document {', '.join(map(repr, unknown))}")
    return rows


def _has_colour() -> bool:
    """Whether standard output is a terminal, and its user did not turn colours off (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

"""``spaniel opensearch``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import check_output, running, running_options, split_option
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json


@click.command()
@click.argument("encoder", metavar="ENCODER")
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--field", default="terms", show_default=True, help="Field of the weights.")
@click.option(
    "--clauses", is_flag=True, help="Write queries as rank_feature clauses, for engines without neural_sparse."
)
@split_option
@json_option
@running_options
@click.pass_obj
def opensearch(
    state: State,
    /,
    encoder: str,
    data: str,
    out: Path,
    field: str,
    clauses: bool,
    split: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write the collection DATA, read by ENCODER, as OpenSearch's neural sparse search takes it.

    The folder has index.json (a mapping with a rank_features field), documents.ndjson (a bulk request), and queries.ndjson (the
    bodies of the searches, with the weights of each query's tokens).
    """
    from spaniel.collections import find_dataset
    from spaniel.system import open_task

    from spaniel_inference_free_sparse.export import escaped, export

    out = out.absolute()
    check_output(out)
    if out.exists():
        raise UsageError(f"{out} is there already; remove it or write to another place")
    if not field or escaped(field) != field:
        raise UsageError(f"--field {field!r}: a field's name has neither dots nor percents")
    with running(state, **settings) as context:
        made = export(context, encoder, open_task(context, find_dataset(context, data), split), out, field, clauses)
    if as_json:
        print_json(made)
        return
    click.echo(
        f"wrote {made['documents']:,} documents with {made['weights']:,} weights and {made['queries']:,} queries to {out}"
    )

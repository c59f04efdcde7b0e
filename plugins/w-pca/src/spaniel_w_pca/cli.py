"""``spaniel architectures``: what a walk found, as a folder."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json


@click.group()
def architectures() -> None:
    """Write what a walk over the space found as a folder to be trained; `spaniel walk` finds it."""


@architectures.command()
@click.argument("candidate")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="Folder to write; not there yet."
)
@click.option(
    "--space",
    default="nlu-bert-mobilebert(max_params=15700000)",
    show_default=True,
    help="The space, with its options.",
)
@click.option(
    "--tokenizer",
    default="sentence-transformers/all-MiniLM-L6-v2",
    show_default=True,
    help="Model whose tokenizer it gets: a folder or a name; a teacher's has to be the same.",
)
@click.option(
    "--words", is_flag=True, help="Take over that model's embeddings of tokens, reduced to the candidate's width."
)
@json_option
@running_options
@click.pass_obj
def build(
    state: State, /, candidate: str, out: Path, space: str, tokenizer: str, words: bool, as_json: bool, **settings: Any
) -> None:
    """Write CANDIDATE, an array or a file that holds one, as an encoder with fresh weights."""
    from spaniel_search.candidates import from_json

    from spaniel_w_pca.folder import write_encoder

    if out.exists():
        raise UsageError(f"{out} is there already")
    text = Path(candidate).read_text(encoding="utf-8") if Path(candidate).is_file() else candidate
    with running(state, **settings) as context:
        made: Any = context.create("search_space", space)
        chosen = from_json(made, text)
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
            made_at = Path(place) / "made"
            write_encoder(context, made, chosen, context.seed, tokenizer, made_at, words=words).rename(out)
    told = {"folder": str(out), "candidate": chosen, "counts": dict(made.counts(chosen))}
    if as_json:
        print_json(told)
        return
    click.echo(f"wrote {out}: {told['counts']['parameters']:,.0f} parameters, with fresh weights")

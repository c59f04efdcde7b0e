"""``spaniel architectures``: search a space of encoders by a proxy, and write what was found as a folder."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import check_output, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table
from spaniel.data.files import write_text

_SHOWN = 8
SPACE = click.option(
    "--space",
    default="nlu-bert-mobilebert(max_params=15700000)",
    show_default=True,
    help="The space, with its options.",
)


@click.group()
def architectures() -> None:
    """Search a space of encoders by a proxy, without training, and write what was found as a folder to be trained."""


@architectures.command()
@SPACE
@click.option("--proxy", default="w-pca", show_default=True, help="What scores candidates, with its options.")
@click.option(
    "--strategy", default="genetic(redraw=10, patience=10)", show_default=True, help="How the space is walked."
)
@click.option("--budget", type=click.IntRange(3), default=2000, show_default=True, help="Candidates that are scored.")
@click.option(
    "--batch", type=click.IntRange(1), default=50, show_default=True, help="Candidates scored between two tellings."
)
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="Processes that score.")
@click.option(
    "-o", "--output", "out", type=click.Path(dir_okay=False, path_type=Path), help="File to write the candidate to."
)
@json_option
@running_options
@click.pass_obj
def search(
    state: State,
    /,
    space: str,
    proxy: str,
    strategy: str,
    budget: int,
    batch: int,
    processes: int,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Search for the candidate that a proxy likes best."""
    from spaniel_w_pca.searching import find

    check_output(out)
    with running(state, **settings) as context:
        found = find(context, space, proxy, strategy=strategy, candidates=budget, batch=batch, processes=processes)
    told = {
        "candidate": found.candidate,
        "score": found.score,
        "counts": found.counts,
        "tried": found.result.tried,
        "ended": found.result.ended,
        "tau with parameters": found.size_tau,
        "larger": found.larger,
        "generations": [vars(one) for one in found.generations],
    }
    if out is not None:
        with write_text(out) as file:
            json.dump(found.candidate, file)
            file.write("\n")
    if as_json:
        print_json(told)
        return
    shown = found.generations
    if len(shown) > _SHOWN:
        step = -(-len(shown) // _SHOWN)
        shown = [*shown[:-1:step], shown[-1]]
    rows = [[str(one.number), str(one.scored), str(one.repeated), f"{one.best:,.6g}"] for one in shown]
    print_table(["generation", "scored", "repeated", "best so far"], rows)
    click.echo(f"\nbest  {json.dumps(found.candidate)}")
    click.echo("      " + ", ".join(f"{value:,.0f} {name}" for name, value in found.counts.items()))
    click.echo(f"{found.result.tried} candidates tried; {found.result.ended}")
    agreement = "no" if found.size_tau is None else f"{found.size_tau:+.3f}"
    click.echo(
        f"tau-b of scores with parameters {agreement}; {found.larger:.0%} of the candidates are larger than the best"
    )
    if out is not None:
        click.echo(f"wrote {out}")


@architectures.command()
@click.argument("candidate")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="Folder to write; not there yet."
)
@SPACE
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

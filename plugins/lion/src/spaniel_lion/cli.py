"""``spaniel programs``: look at a program, and search for better ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import check_output, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.data.files import write_text


@click.group()
def programs() -> None:
    """Look at programs that update weights, and search for better ones."""


@programs.command()
@click.argument("program")
@json_option
def show(program: str, as_json: bool) -> None:
    """Show what PROGRAM does: a published one (adamw, discovered, lion), a file, or its text.

    Its canonical form has each expression once, without redundant statements.
    """
    from spaniel_lion.programs.forms import canonical, live_states, program_hash, simplify
    from spaniel_lion.programs.published import read_program
    from spaniel_lion.programs.signature import OPTIMIZER
    from spaniel_lion.programs.text import print_program
    from spaniel_lion.programs.types import check_types

    found = read_program(program, OPTIMIZER)
    check_types(found, OPTIMIZER)
    told: dict[str, Any] = {
        "hash": program_hash(found, OPTIMIZER),
        "statements": len(found.statements),
        "redundant": len(found.statements) - len(simplify(found, OPTIMIZER).statements),
        "states": list(live_states(found, OPTIMIZER)),
        "canonical": print_program(canonical(found, OPTIMIZER)),
    }
    if as_json:
        print_json(told)
        return
    click.echo(told["canonical"])
    kept = ", ".join(told["states"]) or "none"
    click.echo(f"\n{told['statements']} statements, {told['redundant']} redundant; states that it keeps: {kept}")
    click.echo(f"hash {told['hash']}")


@programs.command()
@click.option("--space", default="programs", show_default=True, help="The space, with its options.")
@click.option("--proxy", default="digits", show_default=True, help="What scores programs, with its options.")
@click.option("--budget", default=1000, show_default=True, type=click.IntRange(10), help="Programs that are scored.")
@click.option(
    "--population", default=100, show_default=True, type=click.IntRange(1), help="Programs that live at a time."
)
@click.option(
    "--tournament", default=2, show_default=True, type=click.IntRange(1), help="Of so many the best has a child."
)
@click.option(
    "--runs", default=2, show_default=True, type=click.IntRange(1), help="Evolutions, and one more from their best."
)
@click.option("--then", "stages", multiple=True, metavar="PROXY", help="A larger task of the funnel; repeatable.")
@click.option("--baseline", default="adamw", show_default=True, help="The program to beat on them.")
@click.option(
    "--tolerance", type=click.FloatRange(0), help="Remove statements that cost at most this much of the score."
)
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), help="File to write the program to.")
@json_option
@running_options
@click.pass_obj
def search(
    state: State,
    /,
    space: str,
    proxy: str,
    budget: int,
    population: int,
    tournament: int,
    runs: int,
    stages: tuple[str, ...],
    baseline: str,
    tolerance: float | None,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Search for a program by ageing evolution, select by larger tasks, and take out what hardly matters."""
    from spaniel_lion.evolving import evolve, redundant_share
    from spaniel_lion.programs.published import read_program
    from spaniel_lion.programs.signature import OPTIMIZER
    from spaniel_lion.programs.text import print_program
    from spaniel_lion.selection import funnel, shrink

    check_output(out)
    if budget < runs + 1:
        raise UsageError(f"{budget} programs are too few for {runs} runs and one more")
    beaten = print_program(read_program(baseline, OPTIMIZER))
    with running(state, **settings) as context:
        maker: Any = context.create("search_space", space)
        for stage in stages:
            context.bind("search_space", stage)
        found = evolve(context, space, proxy, budget, population=population, tournament=tournament, runs=runs)
        passed = funnel(context, space, found.leaders(population), stages, beaten)
        chosen = next((stage.passed[0] for stage in reversed(passed) if stage.passed), found.program)
        if tolerance is not None:
            chosen = shrink(context, space, chosen, proxy, tolerance)
        told: dict[str, Any] = {
            "program": maker.canonical(chosen),
            "score": found.score,
            "generated": found.generated,
            "repeated": found.repeated,
            "redundant": redundant_share(maker, found.walks[-1], population),
            "funnel": [{"proxy": s.proxy, "came": len(s.scores), "passed": len(s.passed)} for s in passed],
        }
    if out is not None:
        with write_text(out) as file:
            file.write(told["program"] + "\n")
    if as_json:
        print_json(told)
        return
    click.echo(told["program"])
    click.echo(
        f"\nthe search's best scores {told['score']:.4f}; {told['generated']:,} programs, {told['repeated']:.0%} of them known "
        f"by their hash, {told['redundant']:.0%} of the last statements redundant"
    )
    for one in passed:
        click.echo(f"{one.proxy}: {len(one.passed)} of {len(one.scores)} beat {baseline} ({one.baseline:.4f})")
    if stages and not (passed and len(passed) == len(stages) and passed[-1].passed):
        click.echo(
            "no program came through the whole funnel; shown is the best of the last stage that any came through"
        )
    if out is not None:
        click.echo(f"wrote {out}")

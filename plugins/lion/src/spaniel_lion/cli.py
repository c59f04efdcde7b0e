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
    """Look at programs that update weights or score documents, and search for better ones."""


@programs.command()
@click.argument("program")
@click.option(
    "--of",
    "kind",
    type=click.Choice(["optimizer", "ranking"]),
    default="optimizer",
    show_default=True,
    help="What the program does: update weights, or score documents.",
)
@json_option
def show(program: str, kind: str, as_json: bool) -> None:
    """Show what PROGRAM does: a published one (adamw, discovered, lion; of rankings bm25), a file, or its text.

    Its canonical form has each expression once, without redundant statements.
    """
    from spaniel_lion.programs.forms import canonical, live_states, program_hash, simplify
    from spaniel_lion.programs.published import read_program
    from spaniel_lion.programs.signature import SIGNATURES
    from spaniel_lion.programs.text import print_program
    from spaniel_lion.programs.types import check_types

    signature = SIGNATURES[kind]
    found = read_program(program, signature)
    check_types(found, signature)
    told: dict[str, Any] = {
        "hash": program_hash(found, signature),
        "statements": len(found.statements),
        "redundant": len(found.statements) - len(simplify(found, signature).statements),
        "states": list(live_states(found, signature)),
        "canonical": print_program(canonical(found, signature)),
    }
    if as_json:
        print_json(told)
        return
    click.echo(told["canonical"])
    states = f"; states that it keeps: {', '.join(told['states']) or 'none'}" if signature.states else ""
    click.echo(f"\n{told['statements']} statements, {told['redundant']} redundant{states}")
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
@click.option("--baseline", help="The program to beat on them; by default the one that the space starts from.")
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
    baseline: str | None,
    tolerance: float | None,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Search for a program by ageing evolution, select by larger tasks, and take out what hardly matters.

    Ranking functions: --space ranking-programs --proxy "judgments(collection=cranfield)" --then
    "judgments(collection=cranfield, part=validation)". What is held out is measured once, in the end.
    """
    from spaniel_lion.evolving import evolve, redundant_share
    from spaniel_lion.programs.published import read_program
    from spaniel_lion.programs.text import print_program
    from spaniel_lion.selection import funnel, shrink
    from spaniel_lion.space import Programs

    check_output(out)
    if budget < runs + 1:
        raise UsageError(f"{budget} programs are too few for {runs} runs and one more")
    with running(state, **settings) as context:
        maker: Any = context.create("search_space", space)
        if not isinstance(maker, Programs):
            raise UsageError(f"--space {space}: it is no space of programs; give programs or ranking-programs")
        beaten = maker.start if baseline is None else print_program(read_program(baseline, maker.signature))
        task: Any = context.create("search_space", proxy)
        for stage in stages:
            context.bind("search_space", stage)
        found = evolve(context, space, proxy, budget, population=population, tournament=tournament, runs=runs)
        passed = funnel(context, space, found.leaders(population), stages, beaten)
        chosen = next((stage.passed[0] for stage in reversed(passed) if stage.passed), found.program)
        if tolerance is not None:
            chosen = shrink(context, space, chosen, proxy, tolerance)
        held_out = {
            name: task.held_out(maker.build(one, 0), context.seed) if hasattr(task, "held_out") else None
            for name, one in (("found", chosen), ("baseline", beaten))
        }
        told: dict[str, Any] = {
            "program": maker.canonical(chosen),
            "score": found.score,
            "held_out": held_out,
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
    named = baseline or "the first program"
    for one in passed:
        click.echo(f"{one.proxy}: {len(one.passed)} of {len(one.scores)} beat {named} ({one.baseline:.4f})")
    if held_out["found"] is not None:
        click.echo(f"on what is held out: {held_out['found']:.4f}, {named} {held_out['baseline']:.4f}")
    if stages and not (passed and len(passed) == len(stages) and passed[-1].passed):
        click.echo(
            "no program came through the whole funnel; shown is the best of the last stage that any came through"
        )
    if out is not None:
        click.echo(f"wrote {out}")

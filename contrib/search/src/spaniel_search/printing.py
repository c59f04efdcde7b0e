"""What ``explore`` and ``walk`` print for people."""

from __future__ import annotations

import json
from pathlib import Path

import click
from spaniel.cli.output import print_table
from spaniel.evaluation import cost_line, human_bytes

from spaniel_search.exploring import Explored
from spaniel_search.finding import Found
from spaniel_search.searching import Result

_SHOWN = 8
"""Generations in a table."""


def print_explored(found: Explored, removed: tuple[int, int], report: Path | None) -> None:
    """Print what an exploration found; what was removed: artifacts and bytes; and where a report was written."""
    result = found.result
    facts, held = result.facts, result.facts["held_out"]
    measure, tuned, other = facts["measure"], facts["data"], facts["held_out_data"]
    parts = [f"{part['queries']} queries, {part['part']}" for part in (tuned, other)]
    click.echo(f"{tuned['name']}: tuned on {parts[0]}; reported on {parts[1]}")
    if tuned["left_out"]:
        click.echo(
            f"  ({tuned['left_out']} queries of {tuned['part']} are left out: {other['part']} has the same texts)"
        )
    if tuned["half"]:
        click.echo("  (one split with judgments, halved by a hash of the queries, the same whatever the seed)")
    click.echo()
    share = "" if held["effort"] >= 1 else f" (on {held['effort']:.0%} of the queries)"
    for title in ("best", "beginning"):
        line = held[title]
        click.echo(f"{title:<10} {click.style(line['expression'], bold=title == 'best')}")
        if "error" in line:
            click.echo(f"           failed: {line['error']}")
            continue
        low, high = line["interval"]
        on = f"tuned on {line['tuned']:.4f}{share}, held out {line['score']:.4f} ({low:.3f} to {high:.3f})"
        click.echo(f"           {measure}: {on}")
        click.echo(f"           {cost_line(line['cost'])}")
    click.echo()
    if held["difference"] is not None:
        chance = f"(p = {held['p_value']:.3f}, paired randomisation)"
        click.echo(f"held out, the best differs by {held['difference']:+.4f} {chance}")
    for which, queries in (("tuned", facts["data"]["queries"]), ("held_out", facts["held_out_data"]["queries"])):
        for one in facts["learned_from"][which]:
            what = f"`{one['component']}` has learned from {one['queries']} of the {queries} queries"
            click.echo(f"note: {what} {'tuned' if which == 'tuned' else 'reported'} on ({one['source']})")
    if held["spent"]["model_calls"] or held["spent"]["tokens"]:
        spent = f"{held['spent']['model_calls']:,g} model calls and {held['spent']['tokens']:,g} tokens"
        click.echo(f"these figures took {spent}, beside the budget")
    failed = _failures(result)
    click.echo(f"{result.tried} configurations tried{failed}; {result.ended}")
    if removed[0]:
        click.echo(f"removed {removed[0]} artifacts that only the others needed ({human_bytes(removed[1])})")
    click.echo(f"trials and plots are in {found.artifact.path}")
    if report is not None:
        click.echo(f"wrote {report}")


def _failures(result: Result) -> str:
    first = next((trial for trial in result.trials if trial.score is None), None)
    if first is None:
        return ""
    return f", {result.failed} failed (the first: {first.error.strip().partition(chr(10))[0]})"


def print_found(found: Found) -> None:
    """Print a walk: generations, the best candidate, and how much of it is size."""
    shown = found.generations
    if len(shown) > _SHOWN:
        step = -(-len(shown) // _SHOWN)
        shown = [*shown[:-1:step], shown[-1]]
    rows = [[str(one.number), str(one.scored), str(one.repeated), f"{one.best:,.6g}"] for one in shown]
    print_table(["generation", "scored", "repeated", "best so far"], rows)
    click.echo(f"\nbest  {json.dumps(found.candidate, ensure_ascii=False)}")
    failed = _failures(found.result)
    click.echo(f"{found.result.tried} candidates tried{failed}; {found.result.ended}")
    if not found.sizes:
        return
    sizes = [
        [name, f"{value:,.6g}", "–" if (tau := found.agreements[name].tau) is None else f"{tau:+.3f}",
         f"{found.agreements[name].larger:.0%}"]
        for name, value in found.sizes.items()
    ]  # fmt: skip
    click.echo()
    print_table(["size", "of the best", "tau-b with scores", "larger than the best"], sizes)

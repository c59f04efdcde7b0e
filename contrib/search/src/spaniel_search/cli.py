"""``spaniel explore``, ``spaniel walk`` and ``spaniel correlate``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from spaniel import UsageError
from spaniel.cli.common import F, check_output, on_error_option, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json, print_table
from spaniel.data import OnError
from spaniel.data.files import write_text

from spaniel_search.budget import parse_budget, parse_limit
from spaniel_search.exploring import Exploration, remove_losers
from spaniel_search.exploring import explore as explore_pipelines
from spaniel_search.pipelines.objective import KEPT
from spaniel_search.printing import print_explored, print_found
from spaniel_search.searching import Plan

processes_option = click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that score candidates; the result does not depend on it.",
)


def _limit(context: click.Context, parameter: click.Parameter, text: str) -> float | None:
    return parse_limit(text)


def timeout_option(default: str) -> Callable[[F], F]:
    """Return the option of the time limit of a candidate."""
    return click.option(
        "--trial-timeout",
        "timeout",
        default=default,
        show_default=True,
        metavar="TIME",
        callback=_limit,
        help="Time of a candidate, after which it has failed: 90, 10min, 2h; none: no limit, and no process of its own.",
    )


@click.command()
@click.argument("expression")
@click.argument("data")
@click.option(
    "--strategy",
    default=None,
    help="Strategy, with its options; by default greedy, which begins with samples where there are more than two holes.",
)
@click.option(
    "--budget",
    multiple=True,
    default=("100",),
    show_default=True,
    help="What may be spent: 200, 10min, 5000calls, 1e6tokens; repeatable.",
)
@click.option(
    "-m", "--measure", default="nDCG@10", show_default=True, help="Measure to tune for, by its ir-measures name."
)
@click.option(
    "--tune-split", default=None, help="Split to tune on; by default dev, validation or train, else half of it."
)
@click.option("--report-split", default=None, help="Split to report on; by default test, else the other half.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Candidates scored at a time.")
@processes_option
@timeout_option("1h")
@click.option(
    "--digits", type=click.IntRange(1, 15), default=3, show_default=True, help="Significant digits of real numbers."
)
@click.option(
    "--allow-learned",
    is_flag=True,
    help="Report on pipelines whose models have learned from queries that are reported on.",
)
@click.option("--keep-indexes", is_flag=True, help="Keep indexes that only candidates which lost needed.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a self-contained HTML report.")
@on_error_option
@json_option
@running_options
@click.pass_obj
def explore(
    state: State,
    /,
    expression: str,
    data: str,
    strategy: str | None,
    budget: tuple[str, ...],
    measure: str,
    tune_split: str | None,
    report_split: str | None,
    batch: int,
    processes: int,
    timeout: float | None,
    digits: int,
    allow_learned: bool,
    keep_indexes: bool,
    report: Path | None,
    on_error: OnError,
    as_json: bool,
    **settings: Any,
) -> None:
    """Fill the holes of a pipeline with what works best on some queries, and report on others.

    \b
    EXPRESSION has holes: `?` for the whole declared range of an option, `?[0.4..2.0]` or
    `?[1..100, log]` for a range, `?[a, b]` for choices, `?rerank` for any component of a kind:

    \b
    spaniel explore "bm25(k1=?[0.1..3.0], b=?) >> ?[cut(k=10), null]" python-docs --budget 60
    """
    wanted = Exploration(
        expression,
        data,
        strategy or "",
        parse_budget(budget),
        measure,
        tune_split,
        report_split,
        batch,
        processes,
        digits,
        on_error,
        timeout,
        allow_learned,
    )
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {report.absolute().parent} to write {report.name} into")
    with running(state, keep=KEPT, **settings) as context:
        found = explore_pipelines(context, wanted)
        removed = (0, 0) if keep_indexes else remove_losers(context, found)
    if report is not None:
        shutil.copyfile(found.artifact.file("report.html"), report)
    if as_json:
        result = found.result
        told = {
            **result.facts,
            "best": {
                "expression": found.expression,
                "score": result.best.score,
                "effort": result.best.effort,
                "candidate": result.best.candidate,
            },
            "tried": result.tried,
            "failed": result.failed,
            "ended": result.ended,
            "spent": dict(result.spent),
            "artifact": str(found.artifact.path),
        }
        print_json(told)
        return
    print_explored(found, removed, report)


@click.command()
@click.argument("space", metavar="SPACE")
@click.argument("proxy", metavar="PROXY")
@click.option("--strategy", default="ageing-evolution", show_default=True, help="Strategy, with its options.")
@click.option(
    "--budget",
    multiple=True,
    default=("200",),
    show_default=True,
    help="What may be spent: 200, 10min, 5000calls; repeatable.",
)
@click.option("--batch", type=click.IntRange(1), default=10, show_default=True, help="Candidates scored at a time.")
@processes_option
@timeout_option("10min")
@click.option(
    "-o", "--output", "out", type=click.Path(dir_okay=False, path_type=Path), help="File to write the candidate to."
)
@json_option
@running_options
@click.pass_obj
def walk(
    state: State,
    /,
    space: str,
    proxy: str,
    strategy: str,
    budget: tuple[str, ...],
    batch: int,
    processes: int,
    timeout: float | None,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Walk SPACE for the candidate that PROXY likes best, and say how much of that is its size.

    Scores are turned so that higher is better.

    \b
    spaniel walk "nlu-bert-mobilebert(max_params=15700000)" w-pca --strategy "genetic(redraw=10)" -o best.json
    """
    from spaniel_search.finding import find

    check_output(out)
    plan = Plan(space, strategy, parse_budget(budget), batch, processes, timeout=timeout)
    with running(state, **settings) as context:
        found = find(context, plan, proxy)
    if out is not None:
        with write_text(out) as file:
            json.dump(found.candidate, file)
            file.write("\n")
    if as_json:
        print_json(found.to_json())
        return
    print_found(found)
    if out is not None:
        click.echo(f"wrote {out}")


@click.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--score", required=True, metavar="COLUMN", help="What the candidates are worth.")
@click.option(
    "--proxy", "proxies", multiple=True, metavar="COLUMN", help="A cheap score; repeatable; -NAME: less is better."
)
@click.option("--trivial", multiple=True, metavar="COLUMN", help="A size that proxies have to beat; repeatable.")
@click.option("--by", metavar="COLUMN", help="Look at the candidates of each value apart, too.")
@click.option(
    "--resamples", type=click.IntRange(0), default=1000, show_default=True, help="Resamples of the intervals."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the resampling.")
@json_option
def correlate(
    table: Path,
    score: str,
    proxies: tuple[str, ...],
    trivial: tuple[str, ...],
    by: str | None,
    resamples: int,
    seed: int,
    as_json: bool,
) -> None:
    """Show how well cheap scores rank candidates, beside trivial ones.

    TABLE has a row a candidate: .csv, .tsv (a head first) or .jsonl, also compressed as .gz.
    """
    from spaniel_search.correlation import correlate as correlate_columns
    from spaniel_search.correlation import correlation_table
    from spaniel_search.table import column, read_table

    if not proxies and not trivial:
        raise UsageError("name at least one column with --proxy or --trivial")
    rows = read_table(table)
    found = correlate_columns(
        column(rows, score, table),
        {name.removeprefix("-"): column(rows, name, table) for name in proxies},
        {name.removeprefix("-"): column(rows, name, table) for name in trivial},
        strata=[row[by] for row in rows] if by and column(rows, by, table, numbers=False) else None,
        seed=seed,
        resamples=resamples,
    )
    if as_json:
        print_json([one.to_json() for one in found])
        return
    head, *lines = correlation_table(found)
    print_table(head, lines)

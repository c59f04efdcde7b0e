"""``spaniel evaluate``: runs of any make, measured and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from spaniel.cli.common import (
    judging_options,
    left_out,
    on_error_option,
    running,
    split_option,
    tell_judging,
)
from spaniel.cli.compare import check_comparison, comparison_options, print_comparison
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json
from spaniel.cli.run import measure_option
from spaniel.collections import find_dataset
from spaniel.context import Context
from spaniel.data import (
    Corpus,
    Document,
    Faults,
    Judging,
    OnError,
    Queries,
    RunFile,
    read_qrels,
    read_run_file,
    without_own,
)
from spaniel.data.layout import find_layout
from spaniel.errors import ArtifactError, UsageError
from spaniel.evaluation import (
    DEFAULT_MEASURES,
    Evaluation,
    SystemResult,
    check_judgments,
    parse_measures,
    write_value,
)
from spaniel.evaluation import (
    evaluate as evaluate_run,
)
from spaniel.system import Task, describe_task, open_task


@click.command()
@click.argument("run_files", nargs=-1, required=True, metavar="RUN_FILE... DATA")
@measure_option
@judging_options
@split_option
@comparison_options
@click.option("--seed", default=0, show_default=True, help="Seed of intervals and tests.")
@click.option("--per-query", is_flag=True, help="Print every query, too.")
@on_error_option
@json_option
@click.pass_obj
def evaluate(
    state: State,
    run_files: tuple[str, ...],
    measures: tuple[str, ...],
    rel: float | None,
    leave_out_own: bool | None,
    split: str | None,
    baseline: int,
    all_pairs: bool,
    report: Path | None,
    seed: int,
    per_query: bool,
    on_error: OnError,
    as_json: bool,
) -> None:
    """Measure run files against the judgments of a collection; several are compared, as `compare` does.

    A RUN_FILE is TREC's, or has columns of query, document and score (ranx, PyTerrier) or rank (MS MARCO), as .csv, .tsv,
    .json, .jsonl or .parquet. DATA is a collection, or a file of judgments alone (qrels).
    """
    *given, data = run_files
    if not given:
        raise UsageError("evaluate takes at least one run file, then the collection: evaluate run.trec python-docs")
    paths = [Path(path) for path in given]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no run file {path}")
    if len(set(given)) < len(given):
        raise UsageError("a run file is given twice; names tell systems apart")
    check_comparison(len(given), "run files", baseline, all_pairs, report)
    names = parse_measures(measures or DEFAULT_MEASURES)
    settings: dict[str, Any] = {"device": "auto", "seed": seed, "batch_size": None, "offline": False, "trace": None}
    with running(state, **settings) as context:
        task = _open(context, data, on_error, split, rel, leave_out_own)
        left_out(task.dataset, task.corpus)
        if task.qrels is None:
            raise UsageError(f"{task.dataset.name} has no judgments to measure by")
        check_judgments(names, task.qrels)
        tell_judging(task)
        evaluations = [_measured(path, task, names, on_error) for path in paths]
    if len(given) > 1 or report is not None:
        results = [SystemResult(name, name, one, {}) for name, one in zip(given, evaluations, strict=True)]
        print_comparison(results, task, baseline, all_pairs, seed, report, {"runs": given}, as_json, per_query)
    else:
        _print(evaluations[0], task, per_query, as_json)


@dataclass(frozen=True)
class _Judgments:
    """A file of judgments, in the place of a collection: its queries and documents are those that are judged."""

    name: str
    skipped: Mapping[str, Faults]


def _open(
    context: Context, data: str, on_error: OnError, split: str | None, rel: float | None, leave_out_own: bool | None
) -> Task:
    path = Path(data).expanduser()
    if not path.is_file() or find_layout(path) is not None:
        return open_task(context, find_dataset(context, data, on_error), split, rel, leave_out_own)
    if split is not None:
        raise UsageError(f"{path} is a file of judgments, and has no split {split!r}")
    faults, judging = Faults(on_error), Judging().but(rel, leave_out_own)
    qrels = read_qrels(path, faults).with_level(judging.rel)
    qrels = qrels.without_own() if judging.leave_out_own else qrels
    names = {name for judged in qrels.values() for name in judged}
    corpus = Corpus.from_documents(Document(name) for name in names)
    queries = Queries.from_lists(list(qrels), [""] * len(qrels))
    return Task(_Judgments(path.name, {path.name: faults}), "", corpus, queries, qrels, judging.leave_out_own)  # type: ignore[arg-type]


def _measured(path: Path, task: Task, names: Sequence[str], on_error: OnError) -> Evaluation:
    assert task.qrels is not None
    faults = Faults(on_error)
    read = read_run_file(path, task.queries, task.corpus, faults, whole=not isinstance(task.dataset, _Judgments))
    _tell(path, read, faults, task)
    run = without_own(read.run, task.queries, read.documents) if task.own_left_out else read.run
    return evaluate_run(run, task.queries, read.documents, task.qrels, names)


def _tell(path: Path, read: RunFile, faults: Faults, task: Task) -> None:
    """Say what was left out of a run, and what does not fit the judgments; refuse what shares nothing with them."""
    where = f"the judgments of {task.dataset.name} {task.split}".rstrip()
    if faults.count or faults.duplicates:
        what = f"{faults.count:,} malformed and {faults.duplicates:,} repeated lines were left out of {path}"
        click.echo(f"note: {what}, first: {faults.first[0]}", err=True)
    assert task.qrels is not None
    if not read.lists:
        theirs = ", ".join(map(repr, list(task.qrels)[:3])) or "none"
        ours = ", ".join(map(repr, read.others[:3]))
        why = f"its queries are like {ours}, theirs like {theirs}" if ours else "it holds no results"
        raise ArtifactError(path, f"shares no query with {where}: {why}")
    if read.unknown and read.unknown == len(read.run.rows):
        raise ArtifactError(path, f"shares no document with {task.dataset.name}; first: {read.first_unknown}")
    if read.unknown:
        what = f"{read.unknown:,} lines of {path} name documents that {task.dataset.name} lacks; they keep their places"
        click.echo(f"note: {what}, first: {read.first_unknown}", err=True)
    judged = {name for documents in task.qrels.values() for name in documents}
    if not judged or (read.documents.rows(sorted(judged)) < 0).all():
        if isinstance(task.dataset, _Judgments):
            raise ArtifactError(path, f"shares no document with {where}")
        click.echo(f"warning: {path} shares no document with {where}", err=True)
    missing = len(task.qrels) - read.lists
    if missing > 0:
        click.echo(
            f"note: {path} has no list for {missing:,} of {len(task.qrels):,} judged queries; they count 0", err=True
        )
    if read.left:
        named = ", ".join(read.others) + (" …" if read.left > len(read.others) else "")
        click.echo(f"note: {read.left:,} queries of {path} are not judged, and not measured: {named}", err=True)


def _print(evaluation: Evaluation, task: Task, per_query: bool, as_json: bool) -> None:
    if as_json:
        result: dict[str, Any] = {"data": describe_task(task), "measures": dict(evaluation.means)}
        if per_query:
            result["per_query"] = {
                query: {name: float(evaluation.per_query[row, column]) for row, name in enumerate(evaluation.measures)}
                for column, query in enumerate(evaluation.query_ids)
            }
        print_json(result)
        return
    if per_query:
        click.echo(f"{'query':<20} {'  '.join(evaluation.measures)}")
        for column, query in enumerate(evaluation.query_ids):
            pairs = zip(evaluation.measures, evaluation.per_query[:, column], strict=True)
            values = "  ".join(f"{write_value(name, value):>{len(name)}}" for name, value in pairs)
            click.echo(f"{query:<20} {values}")
    for name, value in evaluation.means.items():
        click.echo(f"{name:<20} {write_value(name, value)}")

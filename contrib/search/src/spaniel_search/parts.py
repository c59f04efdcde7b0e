"""The queries that are tuned on, and those that are reported on: never the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spaniel import Context, UsageError
from spaniel.protocols import Dataset
from spaniel.system import Task, open_task

Half = Literal["", "tuned", "held out"]
_REPORTED = ("test",)
_TUNED = ("dev", "validation", "valid", "val", "train")
_SHOWN = 3


@dataclass(frozen=True)
class Part:
    """A split, or one half of it, or what of it is not in another split."""

    split: str
    half: Half = ""
    without: str = ""

    def __str__(self) -> str:
        return f"{self.split} ({self.half} half)" if self.half else self.split


def choose_parts(dataset: Dataset, tune: str | None = None, report: str | None = None) -> tuple[Part, Part]:
    """Return what to tune on and what to report on.

    By default that is ``dev``, ``validation`` or ``train``, and ``test``; a collection without two splits has its one
    split halved. Queries of the one whose text is among the other's, as collections have, are not tuned on.

    Raises:
        UsageError: a split is not there, both are the same one, or the collection has no judgments.
    """
    splits = list(dataset.splits)
    if not splits:
        raise UsageError(f"{dataset.name} has no judgments to tune on")
    for given in (tune, report):
        if given is not None and given not in splits:
            raise UsageError(f"{dataset.name} has no split {given!r}; it has {', '.join(splits)}")
    if tune is not None and tune == report:
        raise UsageError(
            f"both are the split {tune!r}: queries that were tuned on are not reported on; "
            "leave --report-split out to have the split halved"
        )
    if report is None:
        report = next((split for split in _REPORTED if split in splits and split != tune), None)
    if tune is None:
        tune = next((split for split in (*_TUNED, *splits) if split in splits and split != report), None)
    if tune is not None and report is not None:
        return Part(tune, without=report), Part(report)
    whole = tune or report or splits[0]
    return Part(whole, "tuned"), Part(whole, "held out")


def open_part(context: Context, dataset: Dataset, part: Part) -> Task:
    """Open the queries and judgments of a part.

    Which half a query is in is decided by a hash of its text, so that it depends on no other query, and equal texts are in
    one half. It does not depend on the session's seed either: what one exploration has tuned on, no other reports on.

    Raises:
        UsageError: no judged query is in it.
    """
    task = open_task(context, dataset, part.split)
    assert task.qrels is not None  # a split has judgments
    others = {_plain(text) for text in dataset.queries(part.without).texts} if part.without else set()
    positions = [
        at
        for at, (name, text) in enumerate(zip(task.queries.ids, task.queries.texts, strict=True))
        if name in task.qrels
        and _plain(text) not in others
        and (not part.half or _is_tuned(text) == (part.half == "tuned"))
    ]
    if not positions:
        beside = f" that is not in {part.without}, which is reported on" if part.without else ""
        raise UsageError(f"no judged query of {dataset.name} is in {part}{beside}")
    return select(task, positions)


def select(task: Task, positions: Sequence[int]) -> Task:
    """Return a task with some of its queries, and their judgments alone."""
    assert task.qrels is not None
    queries = task.queries.select(positions)
    return replace(task, queries=queries, qrels=task.qrels.select(queries.ids))


def share(task: Task, effort: float, seed: int) -> Task:
    """Return a task with a share of its queries; a smaller share is part of a larger one."""
    if effort >= 1:
        return task
    count = max(1, round(effort * len(task.queries)))
    order = sorted(range(len(task.queries)), key=lambda at: (_hash(task.queries.texts[at], seed, "effort"), at))
    return select(task, sorted(order[:count]))


def check_apart(tuned: Task, reported: Task) -> None:
    """Make sure that nothing that is reported on was tuned on.

    Raises:
        UsageError: queries of both have the same text.
    """
    texts = {_plain(text) for text in tuned.queries.texts}
    shared = [
        name for name, text in zip(reported.queries.ids, reported.queries.texts, strict=True) if _plain(text) in texts
    ]
    if shared:
        shown = ", ".join(shared[:_SHOWN]) + (" …" if len(shared) > _SHOWN else "")
        raise UsageError(
            f"{len(shared)} of the {len(reported.queries)} queries to report on were tuned on ({shown}); "
            "choose other splits with --tune-split and --report-split"
        )


def _is_tuned(text: str) -> bool:
    return _hash(text, 0, "half")[0] % 2 == 0


def _hash(text: str, seed: int, what: str) -> bytes:
    return hashlib.sha256(f"{what}\x1f{seed}\x1f{_plain(text)}".encode("utf-8", "surrogatepass")).digest()


def _plain(text: str) -> str:
    return " ".join(text.lower().split())

"""Run files in TREC format."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaniel.data.corpus import Corpus
from spaniel.data.files import read_lines, write_text
from spaniel.data.queries import Queries
from spaniel.data.run import Run
from spaniel.errors import UsageError


def write_run(path: Path, run: Run, queries: Queries, corpus: Corpus, tag: str = "spaniel") -> None:
    """Write a run so that every tool sees its order.

    Scores have nine significant digits, which tell any two float32 apart, and strictly decrease: ties are broken downwards
    by the smallest step of a float32. Names ending in .gz or .zst are compressed.

    Raises:
        UsageError: the run has other queries, or the tag has white space.
        ArtifactError: the file cannot be written.
    """
    if len(run) != len(queries):
        raise UsageError(f"the run has lists for {len(run)} queries, not for {len(queries)}")
    if not tag or any(c.isspace() for c in tag):
        raise UsageError(f"{tag!r} is no tag: text without white space")
    distinct, positions = np.unique(run.rows, return_inverse=True)
    names = corpus.ids(distinct)
    with write_text(Path(path)) as file:
        for position, query in enumerate(queries.ids):
            part = slice(run.offsets[position], run.offsets[position + 1])
            scores = strictly_decreasing(run.scores[part])
            for rank, (at, score) in enumerate(zip(positions[part].tolist(), scores.tolist(), strict=True), 1):
                file.write(f"{query} Q0 {names[at]} {rank} {score:.9g} {tag}\n")


def strictly_decreasing(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lower the scores of a sorted list, by as few float32 steps as it takes, until each is below the one before."""
    bits = scores.view(np.int32).astype(np.int64)
    # Whole numbers in the order of the floats: neighbours differ by one.
    order = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    place = np.arange(len(order))
    lowered = np.minimum.accumulate(order + place) - place
    lowest = -int(np.float32(np.finfo(np.float32).max).view(np.int32))
    lowered = np.maximum(lowered, lowest)
    back = np.where(lowered < 0, (-lowered) | 0x80000000, lowered).astype(np.uint32)
    return back.view(np.float32)


def read_run(path: Path, queries: Queries, corpus: Corpus) -> Run:
    """Read a run over some queries; lists of other queries are left out, and missing ones are empty.

    Raises:
        UsageError: a line is malformed, a score is no number, or a document is not in the corpus or twice in a list; the
            message has file and line.
    """
    place_of: dict[str, int] = {name: position for position, name in enumerate(queries.ids)}
    owners: list[int] = []
    names: list[str] = []
    scores: list[float] = []
    places: list[str] = []
    for place, line in read_lines(Path(path)):
        if line is not None and not line.strip():
            continue
        columns = line.split() if line is not None else []
        if len(columns) != 6:
            raise UsageError(f"{place}: expected the six columns of a TREC run, not {len(columns)}")
        try:
            score = float(columns[4])
        except ValueError:
            score = math.nan
        if math.isnan(score):
            raise UsageError(f"{place}: the score {columns[4]!r} is not a number")
        if columns[0] in place_of:
            owners.append(place_of[columns[0]])
            names.append(columns[2])
            scores.append(score)
            places.append(place)
    rows = corpus.rows(names)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        raise UsageError(f"{places[unknown[0]]}: the collection has no document {names[unknown[0]]!r}")
    owner = np.asarray(owners, np.int64)
    order = np.lexsort((rows, owner))
    twice = np.flatnonzero((np.diff(owner[order]) == 0) & (np.diff(rows[order]) == 0))
    if len(twice):
        at = int(order[twice[0] + 1])
        raise UsageError(f"{places[at]}: {names[at]!r} comes twice for query {queries.ids[owner[at]]!r}")
    by_query = np.argsort(owner, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(queries)))])
    with np.errstate(over="ignore"):
        values = np.asarray(scores, np.float64)[by_query].astype(np.float32)
    return Run.build(offsets, rows[by_query], values)

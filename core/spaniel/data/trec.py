"""Run files in TREC format."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaniel.data.corpus import Corpus
from spaniel.data.faults import Faults, OnError, as_faults
from spaniel.data.files import read_lines, write_text
from spaniel.data.queries import Queries
from spaniel.data.run import Run
from spaniel.errors import UsageError

_BLOCK = 100_000
"""Lines whose ids are looked up together; what is read or written beyond the arrays of the run is no larger."""


def write_run(path: Path, run: Run, queries: Queries, corpus: Corpus, tag: str = "spaniel") -> None:
    """Write a run so that every tool sees its order.

    Scores have nine significant digits, which tell any two float32 apart, and strictly decrease: ties are broken
    downwards by the smallest step of a float32. Names ending in .gz or .zst are compressed.

    Raises:
        UsageError: the run has other queries, or the tag has white space.
        ArtifactError: the file cannot be written.
    """
    if len(run) != len(queries):
        raise UsageError(f"the run has lists for {len(run)} queries, not for {len(queries)}")
    if not tag or any(c.isspace() for c in tag):
        raise UsageError(f"{tag!r} is no tag: text without white space")
    with write_text(Path(path)) as file:
        for first, last in _blocks(run):
            names = iter(corpus.ids(run.rows[run.offsets[first] : run.offsets[last]]))
            for query, position in zip(queries.ids[first:last], range(first, last), strict=True):
                scores = strictly_decreasing(run.of(position)[1]).tolist()
                file.writelines(
                    f"{_escaped(query)} Q0 {_escaped(name)} {rank} {score:.9g} {tag}\n"
                    for rank, (score, name) in enumerate(zip(scores, names, strict=False), 1)
                )


def _escaped(name: str) -> str:
    """Columns are separated by blanks, so an id with blanks is written with %20 for each."""
    return name.replace("%", "%25").replace(" ", "%20") if " " in name else name


def _unescaped(name: str) -> str:
    return name.replace("%20", " ").replace("%25", "%")


def _blocks(run: Run) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(run):
        last = int(np.searchsorted(run.offsets, run.offsets[first] + _BLOCK, side="right")) - 1
        last = min(max(last, first + 1), len(run))
        yield first, last
        first = last


def strictly_decreasing(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lower the scores of a sorted list, by as few float32 steps as it takes, until each is below the one before.

    A list that would leave the range of float32 at its lower end is lifted there instead.
    """
    bits = scores.view(np.int32).astype(np.int64)
    # Whole numbers in the order of the floats: neighbours differ by one.
    order = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    place = np.arange(len(order))
    lowered = np.minimum.accumulate(order + place) - place
    lowest = -int(np.float32(np.inf).view(np.int32))
    lowered = np.maximum(lowered, lowest + place[::-1])
    back = np.where(lowered < 0, (-lowered) | 0x80000000, lowered).astype(np.uint32)
    return back.view(np.float32)


def read_run(path: Path, queries: Queries, corpus: Corpus, on_error: OnError | Faults = "fail") -> Run:
    """Read a run over some queries; lists of other queries are left out, and missing ones are empty.

    As in trec_eval the scores, read as float32, decide the order, not the ranks in the file.

    Raises:
        UsageError: a line is malformed, a score is no number, or a document is not in the corpus or twice in a list;
            the message has file and line.
    """
    faults = as_faults(on_error)
    owners, rows, scores, lines = array("q"), array("i"), array("d"), array("q")
    names: list[str] = []

    def look_up() -> None:
        found = corpus.rows(names)
        unknown = np.flatnonzero(found < 0)
        found[unknown] = corpus.rows([_unescaped(names[at]) for at in unknown])
        for at in np.flatnonzero(found < 0).tolist():
            faults.report(f"{path}:{lines[len(rows) + at]}", f"the collection has no document {names[at]!r}")
        rows.extend(found.tolist())
        names.clear()

    positions = {_escaped(name): position for position, name in enumerate(queries.ids)}
    for number, (place, line) in enumerate(read_lines(Path(path)), 1):
        if line is not None and not line.strip():
            continue
        columns = _columns(line)
        if isinstance(columns, str):
            faults.report(place, columns)
        elif columns[0] in positions:
            owners.append(positions[columns[0]])
            names.append(columns[1])
            scores.append(columns[2])
            lines.append(number)
            if len(names) == _BLOCK:
                look_up()
    look_up()
    return _assemble(path, queries, corpus, faults, owners, rows, scores, lines)


def _columns(line: str | None) -> tuple[str, str, float] | str:
    columns = line.split() if line is not None else []
    if len(columns) != 6:
        what = "bytes that are no UTF-8" if line is None else f"{len(columns)}"
        return f"expected the six columns of a TREC run, not {what}"
    try:
        score = float(columns[4])
    except ValueError:
        score = math.nan
    return f"the score {columns[4]!r} is not a number" if math.isnan(score) else (columns[0], columns[2], score)


def _assemble(
    path: Path,
    queries: Queries,
    corpus: Corpus,
    faults: Faults,
    owners: array[int],
    rows: array[int],
    scores: array[float],
    lines: array[int],
) -> Run:
    """Make a run of what was read, without unknown documents, and with the first where one is repeated in a list."""
    owner, row = np.array(owners, np.int64), np.array(rows, np.int32)
    order = np.lexsort((row, owner))
    repeated = np.zeros(len(row), bool)
    repeated[order[1:]] = (np.diff(owner[order]) == 0) & (np.diff(row[order]) == 0) & (row[order[1:]] >= 0)
    for at in np.flatnonzero(repeated).tolist():
        what = f"{corpus.ids([int(row[at])])[0]!r} comes twice for query {queries.ids[owner[at]]!r}"
        faults.report(f"{path}:{lines[at]}", what, duplicate=True)
    kept = np.flatnonzero((row >= 0) & ~repeated)
    kept = kept[np.argsort(owner[kept], kind="stable")]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[kept], minlength=len(queries)))])
    return Run.build(offsets, row[kept], np.array(scores, np.float64)[kept])

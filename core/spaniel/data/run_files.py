"""Run files of any make: TREC's six columns, or query, document and score as CSV, TSV, JSON or Parquet.

These are written by ranx and PyTerrier, and, with ranks instead of scores, for MS MARCO.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaniel.data.corpus import Corpus
from spaniel.data.faults import Faults, OnError, as_faults, check_id
from spaniel.data.files import read_lines
from spaniel.data.queries import Queries
from spaniel.data.readers.pairs import Pair, as_number, ending, read_pairs, split_line
from spaniel.data.run import Run

NAMED = (".csv", ".json", ".jsonl", ".ndjson", ".parquet")
"""Endings of runs whose columns have names; what ends otherwise is TREC's, or has three or four columns."""


class RunIds:
    """The ids of the documents of a run, which stand in for a corpus: their rows are in descending order of id."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = sorted(set(ids), reverse=True)
        self._rows = {name: row for row, name in enumerate(self._ids)}

    def __len__(self) -> int:
        """Number of documents."""
        return len(self._ids)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of some ids, -1 where there is none."""
        return np.fromiter((self._rows.get(name, -1) for name in ids), np.int64, len(ids))

    def ids(self, rows: Iterable[int]) -> list[str]:
        """Return the ids of some rows."""
        return [self._ids[row] for row in rows]


@dataclass(frozen=True)
class RunFile:
    """A run as its file has it, documents that the collection lacks in their places.

    Attributes:
        run: a list for each query asked for; its rows are those of ``documents``.
        documents: the ids of its documents.
        lists: how many of the queries asked for have a list in the file.
        others: the first ids of queries in the file that were not asked for.
        left: how many those are.
        unknown: how many of its lines name a document that the collection lacks.
        first_unknown: the first of these, with its place; empty where there is none.
    """

    run: Run
    documents: RunIds
    lists: int
    others: tuple[str, ...]
    left: int
    unknown: int
    first_unknown: str


def read_run(path: Path, queries: Queries, corpus: Corpus, on_error: OnError | Faults = "fail") -> Run:
    """Read a run over some queries; lists of other queries are left out, and missing ones are empty.

    As in trec_eval the scores, read as float32, decide the order, not the ranks in the file.

    Raises:
        UsageError: a line is malformed, a score is no number, or a document is not in the corpus or twice in a list;
            the message has file and line.
    """
    faults = as_faults(on_error)
    lines = _Lines(Path(path), queries, faults)
    _, rows = lines.resolve(corpus)
    lines.report_unknown(rows, faults)
    return lines.assemble(rows[np.array(lines.numbers, np.int64)], corpus.ids, faults)


def read_run_file(
    path: Path, queries: Queries, corpus: Corpus, on_error: OnError | Faults = "fail", whole: bool = True
) -> RunFile:
    """Read a run to be measured: documents that the collection lacks keep their places, as in trec_eval.

    Args:
        path: the file.
        queries: those asked for.
        corpus: what the documents should be in.
        on_error: ``"fail"`` refuses documents that it lacks; ``"skip"`` keeps them, and leaves malformed lines out.
        whole: whether the corpus has all documents that there are; else those that it lacks are as good as others.

    Raises:
        UsageError: as :func:`read_run`.
    """
    faults = as_faults(on_error)
    lines = _Lines(Path(path), queries, faults)
    names, rows = lines.resolve(corpus)
    lacking = Faults(faults.on_error)
    if whole:
        lines.report_unknown(rows, lacking)
    documents = RunIds(names)
    numbers = np.array(lines.numbers, np.int64)
    run = lines.assemble(documents.rows(names)[numbers], documents.ids, faults)
    lists, others = int((run.lengths > 0).sum()), tuple(lines.others)
    return RunFile(run, documents, lists, others[:5], len(others), lacking.count, "".join(lacking.first[:1]))


class _Lines:
    """The lines of a run file over some queries: query, document and score of each, ids as numbers."""

    def __init__(self, path: Path, queries: Queries, faults: Faults) -> None:
        self.path = path
        self.queries = queries
        first = _first_line(path) if ending(path) not in NAMED or ending(path) == ".csv" else []
        self.trec = ending(path) not in NAMED and len(first) not in (3, 4)
        self.owners, self.numbers, self.scores, self.lines = array("q"), array("q"), array("d"), array("q")
        self.names: dict[str, int] = {}
        self.others: dict[str, None] = {}
        positions = {name: position for position, name in enumerate(queries.ids)}
        for ordinal, (place, pair) in enumerate(_trec(path) if self.trec else read_pairs(path, of_run=True), 1):
            problem = pair if isinstance(pair, str) else None
            if isinstance(pair, Pair):
                score = _score(pair.number)
                if score is None:
                    problem = f"the score {pair.number!r} is not a number"
                elif not self.trec:
                    problem = check_id(pair.query) or check_id(pair.document)
            if problem or isinstance(pair, str):
                faults.report(place, problem or "")
                continue
            query = positions.get(unescaped(pair.query)) if self.trec else None
            query = positions.get(pair.query) if query is None else query
            if query is None:
                self.others.setdefault(pair.query)
                continue
            line = place.rpartition(":")[2]
            self.owners.append(query)
            self.numbers.append(self.names.setdefault(pair.document, len(self.names)))
            self.scores.append(score or 0.0)
            self.lines.append(int(line) if line.isdecimal() else ordinal)
        if len(first) == 3 and as_number(first[-1]) is not None and self._are_ranks():
            self.scores = array("d", (-rank for rank in self.scores))

    def _are_ranks(self) -> bool:
        """Return whether the numbers of every list are 1, 2, 3 …, as in runs of MS MARCO, where the third column is the rank."""
        last: dict[int, float] = {}
        for query, number in zip(self.owners, self.scores, strict=True):
            if number != last.get(query, 0) + 1:
                return False
            last[query] = number
        return True

    def resolve(self, corpus: Corpus) -> tuple[list[str], NDArray[np.int64]]:
        """Return id and row of each document, -1 where the corpus lacks it.

        What is written by us is escaped; what is not may hold ``%20`` as it is.
        """
        written = list(self.names)
        names = [unescaped(name) for name in written] if self.trec else written
        rows = corpus.rows(names).astype(np.int64)
        raw = [at for at in np.flatnonzero(rows < 0).tolist() if names[at] != written[at]]
        for at, row in zip(raw, corpus.rows([written[at] for at in raw]).tolist(), strict=True):
            if row >= 0:
                names[at], rows[at] = written[at], row
        return names, rows

    def report_unknown(self, rows: NDArray[np.int64], faults: Faults) -> None:
        """Report the lines whose document the corpus lacks."""
        written = list(self.names)
        numbers = np.array(self.numbers, np.int64)
        for at in np.flatnonzero(rows[numbers] < 0).tolist() if len(numbers) else []:
            faults.report(self._place(at), f"the collection has no document {written[numbers[at]]!r}")

    def assemble(self, rows: NDArray[np.int64], ids: Any, faults: Faults) -> Run:
        """Make a run of one row for each line, without negative ones, and with the first where one is repeated in a list."""
        owner, row = np.array(self.owners, np.int64), rows
        order = np.lexsort((row, owner))
        repeated = np.zeros(len(row), bool)
        repeated[order[1:]] = (np.diff(owner[order]) == 0) & (np.diff(row[order]) == 0) & (row[order[1:]] >= 0)
        for at in np.flatnonzero(repeated).tolist():
            what = f"{ids([int(row[at])])[0]!r} comes twice for query {self.queries.ids[owner[at]]!r}"
            faults.report(self._place(at), what, duplicate=True)
        kept = np.flatnonzero((row >= 0) & ~repeated)
        kept = kept[np.argsort(owner[kept], kind="stable")]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[kept], minlength=len(self.queries)))])
        return Run.build(offsets, row[kept], np.array(self.scores, np.float64)[kept])

    def _place(self, at: int) -> str:
        return f"{self.path}:{self.lines[at]}"


def _trec(path: Path) -> Iterator[tuple[str, Pair | str]]:
    for place, line in read_lines(path):
        if line is not None and not line.strip():
            continue
        parted = line.strip().split("\t") if line is not None else []
        # Columns with tabs between them may hold ids with blanks.
        columns = parted if line is None or len(parted) == 6 else line.split()
        if len(columns) != 6:
            what = "bytes that are no UTF-8" if line is None else f"{len(columns)}"
            yield place, f"expected the six columns of a TREC run, not {what}"
        else:
            yield place, Pair(columns[0], columns[2], columns[4])


def _first_line(path: Path) -> list[str]:
    """Return the columns of the first line that has any: six are TREC's, three or four those of other tools."""
    for _, line in read_lines(path):
        if line is not None and line.strip():
            columns = split_line(line, ending(path) == ".csv")
            return columns if isinstance(columns, list) else []
    return []


def _score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(score) else score


def escaped(name: str) -> str:
    """Return an id for a file whose columns are separated by blanks: ``%`` is written ``%25``, and a blank ``%20``."""
    return name.replace("%", "%25").replace(" ", "%20")


def unescaped(name: str) -> str:
    """Return the id that :func:`escaped` wrote."""
    return name.replace("%20", " ").replace("%25", "%")

"""What a model learns from: the rows of all sources, and the batches of an epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spaniel import Context, UsageError
from spaniel.data import Queries

from spaniel_train.batch import Known
from spaniel_train.material import collection_material, judged_row
from spaniel_train.recipe import Batches, Source
from spaniel_train.rows import Row, read_rows
from spaniel_train.spool import Answers, RowFile

_PIECE = 256
"""Units that a synthesizer makes at once."""


def is_held_out(text: str, one_in: int) -> bool:
    """Whether a query is one of those left out for the evaluation: by its text, so the same wherever it comes."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % one_in == 0


def held_out(queries: Queries, one_in: int) -> Queries:
    """Return the queries that :func:`is_held_out`."""
    return queries.select([place for place, text in enumerate(queries.texts) if is_held_out(text, one_in)])


@dataclass(frozen=True)
class Data:
    """The rows of a training.

    Attributes:
        rows: of all sources, one after the other; a source that is repeated comes so many times.
        datasets: ``(rows,)`` int64, the number of each row's source.
        names: of the sources.
    """

    rows: Sequence[Row]
    datasets: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def known(self) -> Known:
        """Query → every text that some row says answers it."""
        return Answers(self.rows)

    @cached_property
    def digest(self) -> str:
        """Digest of all rows in their order."""
        made = hashlib.sha256()
        for row, dataset in zip(self.rows, self.datasets.tolist(), strict=True):
            made.update(json.dumps([dataset, row.to_json()], sort_keys=True).encode())
        return made.hexdigest()

    def require_queries(self) -> None:
        """Check that every row has a query; those that only have texts are for language models.

        Raises:
            UsageError: one has none.
        """
        lacking = next((row for row in self.rows if not row.query), None)
        if lacking is not None:
            raise UsageError(
                f"data: the row of the text {lacking.positives[0][:60]!r} has no query; such rows are for language models"
            )

    def require_teacher(self) -> None:
        """Check that there are teacher scores.

        Raises:
            UsageError: a row has none for any of its texts.
        """
        lacking = [place for place, row in enumerate(self.rows) if not row.scores]
        if lacking:
            query = self.rows[lacking[0]].query
            raise UsageError(
                f"data: an objective learns from teacher scores, and {len(lacking)} of {len(self.rows)} rows have none, "
                f"first that of the query {query[:60]!r}: make them with `spaniel synthesize`, by `labels`"
            )


def load_data(context: Context, sources: Sequence[Source]) -> Data:
    """Read and make the rows of all sources.

    Raises:
        UsageError: a source cannot be read, or has no row.
    """
    rows = RowFile()
    numbers = [np.zeros(0, np.int64)]
    for number, source in enumerate(sources):
        found = (
            row
            for row in _rows(context, source)
            if not source.hold_out or not is_held_out(row.query or row.positives[0], source.hold_out)
        )
        count = rows.extend(found, source.repeat)
        if not count:
            raise UsageError(f"data[{number}] has no training row")
        numbers.append(np.full(count * source.repeat, number, np.int64))
    names = tuple(source.name or str(number) for number, source in enumerate(sources))
    return Data(rows, np.concatenate(numbers), names)


def _rows(context: Context, source: Source) -> Iterator[Row]:
    if source.rows is not None:
        yield from read_rows(Path(source.rows))
        return
    assert source.collection is not None
    material = collection_material(
        context, source.collection, source.split or ("train" if source.synthesizer is None else None)
    )
    if source.synthesizer is None:
        assert material.queries is not None
        for position in range(len(material.queries)):
            row = judged_row(material, position)
            if row is not None:
                yield row
        return
    synthesizer = context.create("synthesize", source.synthesizer)
    units = synthesizer.units(material)
    for start in range(0, units, _PIECE):
        yield from synthesizer.make(material, start, min(units, start + _PIECE)).rows


def plan_epoch(data: Data, batches: Batches, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the batches of an epoch, as rows: each row once, in an order drawn by ``rng``.

    Batches are full but for the last one of each dataset, task or domain, and for those that ``distinct`` cuts short. So
    that such rests do not come together, the order of the batches is drawn, too.
    """
    order = rng.permutation(len(data))
    keys: dict[str, Callable[[int], object]] = {
        "any": lambda row: 0,
        "dataset": lambda row: int(data.datasets[row]),
        "task": lambda row: data.rows[row].task,
        "domain": lambda row: data.rows[row].domain,
    }
    key = keys[batches.together]
    parts: dict[object, list[int]] = {}
    for row in order.tolist():
        parts.setdefault(key(row), []).append(row)
    cut = _distinct if batches.distinct else _plain
    made = [np.array(batch, np.int64) for part in parts.values() for batch in cut(data, part, batches.size)]
    return [made[place] for place in rng.permutation(len(made)).tolist()]


def _plain(data: Data, rows: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _distinct(data: Data, rows: list[int], size: int) -> Iterator[list[int]]:
    """Fill a batch with the first rows left that share neither query nor positive with it."""
    waiting = rows
    while waiting:
        batch: list[int] = []
        seen: set[str] = set()
        left: list[int] = []
        for place, row in enumerate(waiting):
            texts = {f"q{data.rows[row].query}", *(f"p{text}" for text in data.rows[row].positives)}
            if seen.isdisjoint(texts):
                batch.append(row)
                seen |= texts
            else:
                left.append(row)
            if len(batch) == size:
                left += waiting[place + 1 :]
                break
        yield batch
        waiting = left

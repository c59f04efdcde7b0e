"""Writing runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaniel.data.corpus import Corpus
from spaniel.data.files import write_text
from spaniel.data.queries import Queries
from spaniel.data.readers.pairs import ending
from spaniel.data.run import Run
from spaniel.data.run_files import escaped
from spaniel.errors import ArtifactError, UsageError

_BLOCK = 100_000
"""Lines whose ids are looked up together; what is written beyond the arrays of the run is no larger."""


def write_run(path: Path, run: Run, queries: Queries, corpus: Corpus, tag: str = "spaniel") -> None:
    """Write a run so that every tool sees its order: as TREC has it, or as Parquet by its name, as ranx reads it.

    Scores have nine significant digits, which tell any two float32 apart, and strictly decrease: ties are broken
    downwards by the smallest step of a float32. Names ending in .gz or .zst are compressed. In TREC's columns ``%`` and
    blanks of ids are escaped (``%25``, ``%20``), so that every id can be told from every other.

    Raises:
        UsageError: the run has other queries, the tag has white space, or Parquet's extra is missing.
        ArtifactError: the file cannot be written.
    """
    path = Path(path)
    if len(run) != len(queries):
        raise UsageError(f"the run has lists for {len(run)} queries, not for {len(queries)}")
    if not tag or any(c.isspace() for c in tag):
        raise UsageError(f"{tag!r} is no tag: text without white space")
    if ending(path) == ".parquet":
        _write_parquet(path, run, queries, corpus)
        return
    with write_text(path) as file:
        for first, last in _blocks(run):
            names = iter(corpus.ids(run.rows[run.offsets[first] : run.offsets[last]]))
            for query, position in zip(queries.ids[first:last], range(first, last), strict=True):
                scores = strictly_decreasing(run.of(position)[1]).tolist()
                file.writelines(
                    f"{escaped(query)} Q0 {escaped(name)} {rank} {score:.9g} {tag}\n"
                    for rank, (score, name) in enumerate(zip(scores, names, strict=False), 1)
                )


def _write_parquet(path: Path, run: Run, queries: Queries, corpus: Corpus) -> None:
    """Write the columns that ranx has: ``q_id``, ``doc_id`` and ``score``."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f'{path}: Parquet files need an extra: pip install "spaniel[parquet]"') from None
    kinds = {"q_id": pyarrow.string(), "doc_id": pyarrow.string(), "score": pyarrow.float64()}
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with pyarrow.parquet.ParquetWriter(draft, pyarrow.schema(list(kinds.items()))) as file:
            for first, last in _blocks(run):
                span = slice(run.offsets[first], run.offsets[last])
                owners = np.repeat(np.arange(first, last), run.lengths[first:last]).tolist()
                scores = [strictly_decreasing(run.of(position)[1]) for position in range(first, last)]
                columns = [[queries.ids[at] for at in owners], corpus.ids(run.rows[span]), np.concatenate(scores)]
                arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
                file.write_table(pyarrow.Table.from_arrays(arrays, names=list(kinds)))
        draft.replace(path)
    except OSError as error:
        raise ArtifactError(path, f"cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


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

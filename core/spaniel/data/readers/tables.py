"""Formats of rows and columns: CSV and TSV with a header, and Parquet."""

from __future__ import annotations

import csv
import datetime
import decimal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaniel.data.files import read_lines
from spaniel.data.readers.lines import IDS, UNDECODABLE, Raw
from spaniel.errors import UsageError

_ROWS = 256
"""Rows of a Parquet file that are held at once."""


def read_csv(path: Path) -> Iterator[Raw]:
    """CSV with a header; a field in quotes may go over several lines."""
    return _read_table(path, delimiter=",", strict=True)


def read_tsv(path: Path) -> Iterator[Raw]:
    """TSV with a header; quotes mean nothing, and no field has a tab or a line end."""
    return _read_table(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_table(path: Path, **dialect: Any) -> Iterator[Raw]:
    # The limit is the process's, and its default would refuse a document of 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    damaged: list[int] = []

    def lines() -> Iterator[str]:
        for number, (_, line) in enumerate(read_lines(path), 1):
            if line is None:
                damaged.append(number)
            yield f"{line or ''}\n"

    rows = csv.reader(lines(), **dialect)
    header: list[str] = []
    ended = 0
    while True:
        damaged.clear()
        begin, fields, problem = ended + 1, [], ""
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"no CSV ({error})"
        ended = rows.line_num
        place = f"{path}:{begin}"
        problem = UNDECODABLE if damaged else problem
        if not header:
            header = _checked_header(place, fields, problem)
        elif problem or fields:
            if not problem and len(fields) != len(header):
                problem = f"it has {len(fields)} columns, the header {len(header)}"
            yield place, problem or dict(zip(header, fields, strict=True))


def _checked_header(place: str, header: list[str], problem: str) -> list[str]:
    if problem or not header or len(set(header)) < len(header):
        raise UsageError(f"{place}: {problem or f'expected a header of different names, not {header}'}")
    if not set(header) & set(IDS):
        raise UsageError(f"{place}: expected a header with one of {', '.join(IDS)}, not {', '.join(header)}")
    return header


def read_parquet(path: Path) -> Iterator[Raw]:
    """Parquet; a place is the number of the row."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f'{path}: Parquet files need an extra: pip install "spaniel[parquet]"') from None
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", {name: _plain(value) for name, value in fields.items()}
    except (OSError, ValueError, OverflowError, TypeError, KeyError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}:{number + 1}: no Parquet file, or a damaged one ({error})") from error


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, datetime.date | datetime.time | decimal.Decimal) else value

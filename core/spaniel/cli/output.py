"""Printing for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def print_json(data: Any) -> None:
    """Print JSON on standard output."""
    import json

    click.echo(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell."""
    for line in table([head, *rows]):
        click.echo(line)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines in columns; what lies outside printable text is shown escaped."""
    cells = [["".join(c if c.isprintable() else repr(c)[1:-1] for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.ljust(width) for c, width in zip(row, widths, strict=True)).rstrip() for row in cells]

"""Printing for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def print_report(told: Mapping[str, Any], indent: int = 2) -> None:
    """Print plain data for readers: a line for each name, lists and mappings of plain values behind it, deeper ones below."""
    for name, value in told.items():
        lead = f"{'':{indent}}{name}:"
        if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
            click.echo(lead)
            print_report(value, indent + 2)
        else:
            click.echo(f"{lead} {_plain(value)}")


def _plain(value: Any, between: str = ", ") -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one, ' ')}" for name, one in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return between.join(map(_plain, value)) or "none"
    return str(value)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines in columns; what lies outside printable text is shown escaped."""
    cells = [["".join(c if c.isprintable() else repr(c)[1:-1] for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.ljust(width) for c, width in zip(row, widths, strict=True)).rstrip() for row in cells]

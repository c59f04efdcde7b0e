"""Tables for people."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import click

from spaniel.evaluation.comparison import SIGNIFICANT, Comparison, Difference
from spaniel.evaluation.measures import write_value

_GAP = "  "
_NARROWEST = 40


def human_bytes(size: float) -> str:
    """Return a size as people write it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _number(amount: float) -> str:
    return f"{amount:,.0f}"


class Cost(NamedTuple):
    """How people read a cost: its short name, its name in words, and how its figures are written."""

    short: str
    words: str
    write: Callable[[float], str]


COSTS: Mapping[str, Cost] = {
    "ms_per_query": Cost("ms/query", "milliseconds a query", _figure),
    "load_seconds": Cost("load", "time of loading models and indexes, once", lambda seconds: f"{seconds:,.2f} s"),
    "build_seconds": Cost("build", "time of building", lambda seconds: f"{seconds:,.1f} s"),
    "bytes_on_disk": Cost("disk", "size on disk", human_bytes),
    "peak_memory_bytes": Cost("memory", "peak memory", human_bytes),
    "model_calls": Cost("calls", "model calls", _number),
    "pairs_scored": Cost("pairs", "pairs of query and document scored", _number),
    "texts_encoded": Cost("encoded", "texts encoded", _number),
    "index_calls": Cost("index calls", "calls of an index", _number),
    "proxy_calls": Cost("proxy calls", "calls of a cheap score in the place of a model", _number),
    "tokens": Cost("tokens", "tokens read and written by models", _number),
    "price": Cost("price", "price of language models", lambda price: f"{price:,.4f}"),
}
_WHERE_ANY = ("load_seconds", "pairs_scored", "texts_encoded", "index_calls", "proxy_calls", "tokens", "price")
"""Costs that are shown only where a system has any."""


def write_cost(key: str, cost: Mapping[str, float]) -> str:
    """Return one of the costs of a system as people write it."""
    return COSTS[key].write(cost[key]) if key in cost else "–"


def costs_measured(comparison: Comparison) -> list[str]:
    """Return the costs that are known of any system, in their usual order."""
    costs = [system.cost for system in comparison.systems]
    return [key for key in COSTS if any(cost.get(key) if key in _WHERE_ANY else key in cost for cost in costs)]


def cost_line(cost: Mapping[str, float]) -> str:
    """Return a cost in one line."""
    phrases = {
        "ms_per_query": "{} ms a query",
        "load_seconds": "loaded in {}",
        "build_seconds": "built in {}",
        "bytes_on_disk": "{} on disk",
        "peak_memory_bytes": "{} peak memory",
        "model_calls": "{} model calls",
        "pairs_scored": "{} pairs scored",
        "texts_encoded": "{} texts encoded",
        "index_calls": "{} index calls",
        "proxy_calls": "{} proxy calls",
        "tokens": "{} tokens",
        "price": "{} paid",
    }
    unless = ("model_calls", *_WHERE_ANY)
    said = {key: phrase for key, phrase in phrases.items() if key in cost and (key not in unless or cost[key])}
    return ", ".join(phrase.format(write_cost(key, cost)) for key, phrase in said.items())


def describe_data(comparison: Comparison) -> str:
    """Return what was searched, in one line; empty where the comparison does not say."""
    data = comparison.data
    name = " ".join(str(data[key]) for key in ("name", "split") if data.get(key))
    sizes = ", ".join(f"{data[key]:,} {key}" for key in ("documents", "queries") if isinstance(data.get(key), int))
    return printable(": ".join(filter(None, (name, sizes))))


def comparison_table(comparison: Comparison, width: int | None = None) -> str:
    """Return a comparison as a table, cost beside quality, the best of each measure in bold.

    Args:
        comparison: what to show.
        width: columns of the terminal, by default those it has; where names do not fit they are set apart and numbered,
            and where columns do not fit they go on below.

    Returns:
        Lines with ANSI codes for bold, which ``click.echo`` leaves out where it does not write to a terminal.
    """
    room = max(_NARROWEST, width or shutil.get_terminal_size((200, 24)).columns)
    names = [printable(system.name) for system in comparison.systems]
    lines = _wrap(describe_data(comparison), room)
    if lines:
        lines.append("")
    numbered = [f"{number} {name}" for number, name in enumerate(names, 1)] if len(names) > 1 else names
    summary = _summary(comparison)
    labelled = [["system", *numbered], *summary]
    if _breadth(labelled) > room:
        for number, name in enumerate(names, 1):
            lines += _wrap(f"{number} {name}", room, indent="  ")
        lines.append("")
        labelled = [["", *(str(number) for number in range(1, len(names) + 1))], *summary]
    lines += _fold(labelled, room)
    if comparison.differences:
        lines += ["", *_differences(comparison, names, room)]
    return "\n".join(lines)


def _summary(comparison: Comparison) -> list[list[str]]:
    """Return the columns of figures, each with its head."""
    columns = []
    for measure in comparison.measures:
        cells = [write_value(measure, system.evaluation.means[measure]) for system in comparison.systems]
        marks = [comparison.mark(position, measure) for position in range(len(cells))]
        widest = max(map(len, marks))
        best = comparison.best(measure)
        columns.append([
            measure + " " * widest,
            *(
                (click.style(cell, bold=True) if position in best else cell) + mark.ljust(widest)
                for position, (cell, mark) in enumerate(zip(cells, marks, strict=True))
            ),
        ])  # fmt: skip
        if measure == next(iter(comparison.tested), None):
            ends = [intervals[measure] for intervals in comparison.intervals]
            columns.append(["95 % interval", *(f"{low:.3f}–{high:.3f}" for low, high in ends)])
    for key in costs_measured(comparison):
        columns.append([COSTS[key].short, *(write_cost(key, system.cost) for system in comparison.systems)])
    return columns


def _differences(comparison: Comparison, names: Sequence[str], room: int) -> list[str]:
    main = comparison.tested[0]
    found = [difference for difference in comparison.differences if difference.measure == main]
    if comparison.baseline is not None:
        number = comparison.baseline + 1
        against = f"the baseline, {number} {names[comparison.baseline]}"
        note = f"* differs from {against} (corrected p < {SIGNIFICANT}; {comparison.test})."
    else:
        note = f">1,2 is better than systems 1 and 2 (corrected p < {SIGNIFICANT}; {comparison.test})."
    numbers = {system.name: str(number) for number, system in enumerate(comparison.systems, 1)}
    columns = [
        [f"Δ {main}", *(f"{numbers[d.system]} − {numbers[d.baseline]}" for d in found)],
        ["", *(f"{d.difference:+.4f}{'*' if d.significant else ' '}" for d in found)],
        ["p", *(p_value(d.p) for d in found)],
        ["p corrected", *(p_value(d.p_corrected) for d in found)],
        ["won", *(str(d.wins) for d in found)],
        ["tied", *(str(d.ties) for d in found)],
        ["lost", *(str(d.losses) for d in found)],
        ["effect size", *(_effect(d) for d in found)],
    ]
    return [*_wrap(note, room), "", *_fold(columns, room)]


def p_value(p: float) -> str:
    """Return a p-value as it is printed."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def _effect(difference: Difference) -> str:
    return f"{difference.effect_size:+.2f}" if difference.effect_size is not None else "–"


def _fold(columns: Sequence[Sequence[str]], room: int) -> list[str]:
    """Return columns as lines; those that do not fit go on below, with the first column repeated."""
    label, *rest = columns
    groups: list[list[Sequence[str]]] = [[label]]
    for column in rest:
        if len(groups[-1]) > 1 and _breadth([*groups[-1], column]) > room:
            groups.append([label])
        groups[-1].append(column)
    lines: list[str] = []
    for group in groups:
        widths = [max(map(_width, column)) for column in group]
        for number, row in enumerate(zip(*group, strict=True)):
            cells = [_pad(cell, width, right=at > 0) for at, (cell, width) in enumerate(zip(row, widths, strict=True))]
            lines.append(_GAP.join(cells).rstrip())
            if number == 0:
                lines.append("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)))
        lines.append("")
    return lines[:-1]


def _wrap(text: str, room: int, indent: str = "") -> list[str]:
    """Return a text as lines that fit, counting wide letters as such; words that do not fit alone are broken."""
    lines = [""] if text else []
    for word in text.split():
        if lines[-1].strip() and _width(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
            continue
        if lines[-1].strip():
            lines.append(indent)
        for letter in word:
            if _width(lines[-1] + letter) > room:
                lines.append(indent)
            lines[-1] += letter
    return lines


def _breadth(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(_width, column)) for column in columns) + len(_GAP) * (len(columns) - 1)


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """Columns that a text takes on a terminal: wide letters two, combining marks none."""
    letters = click.unstyle(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in letters)
    return len(letters) + wide - sum(unicodedata.combining(letter) > 0 for letter in letters)


def printable(text: str) -> str:
    """Return a text with what is not printable escaped, so that it cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

"""Tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from spaniel.evaluation.comparison import Comparison

SIGNIFICANT = 0.05


def human_bytes(size: float) -> str:
    """Return a size as people write it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def cost_line(cost: Mapping[str, float]) -> str:
    """Return a cost in one line."""
    calls = f", {cost['model_calls']:.0f} model calls" if cost["model_calls"] else ""
    return (
        f"{cost['ms_per_query']:.2f} ms a query, built in {cost['build_seconds']:.1f} s, "
        f"{human_bytes(cost['bytes_on_disk'])} on disk, {human_bytes(cost['peak_memory_bytes'])} peak memory{calls}"
    )


def comparison_table(comparison: Comparison) -> str:
    """Return a comparison as a table, the best of each measure in bold on a terminal."""
    measures = comparison.systems[0].evaluation.measures
    best = {m: max(s.evaluation.means[m] for s in comparison.systems) for m in measures}
    marks = {
        (d.system, d.measure): "*" for d in comparison.differences if d.p_corrected < SIGNIFICANT
    }
    header = ["system", *measures, "ms/query", "build s", "disk", "memory", "calls"]
    rows = [header]
    for system in comparison.systems:
        means = system.evaluation.means
        cells = [f"{means[m]:.4f}{marks.get((system.name, m), ' ')}" for m in measures]
        cost = system.cost
        rows.append([
            system.name, *cells, f"{cost['ms_per_query']:.2f}", f"{cost['build_seconds']:.1f}",
            human_bytes(cost["bytes_on_disk"]), human_bytes(cost["peak_memory_bytes"]), f"{cost['model_calls']:.0f}",
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    data = comparison.data
    lines = [f"{data.get('name')} {data.get('split')}: {data.get('documents')} documents, {data.get('queries')} queries"]
    for number, row in enumerate(rows):
        cells = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        if number:
            means = comparison.systems[number - 1].evaluation.means
            for column, measure in enumerate(measures, 1):
                if means[measure] == best[measure]:
                    cells[column] = click.style(cells[column], bold=True)
        lines.append("  ".join(cells).rstrip())
        if not number:
            lines.append("─" * (sum(widths) + 2 * (len(widths) - 1)))
    if comparison.differences:
        lines += ["", *_differences(comparison, measures)]
    return "\n".join(lines)


def _differences(comparison: Comparison, measures: Sequence[str]) -> list[str]:
    main = measures[0]
    lines = [f"{main}: difference, p corrected by Holm, queries won / tied / lost; * marks p < {SIGNIFICANT}"]
    for d in comparison.differences:
        if d.measure == main:
            mark = "*" if d.p_corrected < SIGNIFICANT else " "
            counts = f"{d.wins} / {d.ties} / {d.losses}"
            lines.append(f"  {d.difference:+.4f}{mark} p {d.p_corrected:.4f}  {counts:>16}   {d.system}  against  {d.baseline}")
    return lines

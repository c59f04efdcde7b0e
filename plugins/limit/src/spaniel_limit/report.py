"""A diagnosis in words and tables."""

from __future__ import annotations

from collections.abc import Sequence

from spaniel.cli.output import table

from spaniel_limit.diagnosis import Diagnosis, Returned
from spaniel_limit.needed import Needed


def report(found: Diagnosis) -> str:
    """Return the report as lines of text."""
    lines = [
        f"{found.pipeline} on {found.collection}: {found.queries:,} queries, {found.documents:,} documents, up to {found.k} "
        "relevant to a query",
        f"  sets wanted              {found.sets:,}",
        f"  returned whole           {found.pipeline_returned.whole:.1%} of the queries",
        f"  distinct sets returned   {found.sets_returned:,}, of {found.documents_returned:,} documents",
        f"  recall                   {_recalls(found.pipeline_returned)}",
        f"  margin, median           {_number(found.pipeline_returned.margin)}",
        f"  judgments as a graph     density {found.graph.density:.6f}, strength {found.graph.strength:.4f}",
        f"  bound                    all sets of {found.k} with a margin of {found.margin:g} take "
        f"{found.least_dimensions:,} dimensions or more",
    ]
    if found.largest_margin is not None:
        full = found.by_dimensions[-1].dimensions
        lines.append(
            f"                           with {full} dimensions their margin is at most {found.largest_margin:.3g}"
        )
    if found.terms is not None and found.pipeline_returned.wanted_in_reach is not None:
        one = found.pipeline_returned
        lines.append(
            f"  in reach                 {one.wanted_in_reach:.1%} of the wanted sets, by some weights of 0 or more over "
            f"{found.terms:,} terms"
        )
        if one.any_in_reach is not None:
            lines.append(f"                           {one.any_in_reach:.1%} of any sets of that size")
    if found.by_dimensions:
        depths = list(found.by_dimensions[0].recall)
        head = ["dimensions", *(f"R@{depth}" for depth in depths), "whole", "margin", "wanted in reach", "any in reach"]
        lines += ["", *table([head, *(_row(one) for one in found.by_dimensions)])]
        lines += ["", "in reach: some query vector returns the set first, whatever encodes the query"]
        solved = [one.dimensions for one in found.by_dimensions if one.whole == 1]
        if solved:
            lines.append(
                f"certified: {solved[0]} dimensions order every query here, so the sign rank of its judgments is at most "
                f"{(solved[0] or 0) + 1}"
            )
    return "\n".join(lines)


def report_needed(found: Sequence[Needed], collection: str, queries: int, documents: int) -> str:
    """Return the dimension that judgments need as lines of text, by seed where there are several."""
    one = found[0]
    lines = [
        f"{collection}: {queries:,} queries with relevant documents, {documents:,} documents",
        f"  told apart               {one.sets:,} sets of {one.documents:,} documents; up to {one.k} of a set",
        f"  enough, in theory        {one.enough:,} dimensions (the moment curve), whether training finds them or not",
        "",
    ]
    trials = {(at, trial.d): trial for at, several in enumerate(found) for trial in several.trials}
    rows = [["dimensions", "sets returned", "relevant documents returned", "updates"]]
    for d in sorted({d for _, d in trials}):
        mine = [trials[at, d] for at in range(len(found)) if (at, d) in trials]
        rows.append(
            [
                str(d),
                ", ".join(f"{trial.whole / one.sets:.1%}" for trial in mine),
                ", ".join(f"{trial.accuracy:.1%}" for trial in mine),
                ", ".join(f"{trial.iterations:,}" for trial in mine),
            ]
        )
    needed = [several.d for several in found]
    told = ", ".join("none of those tried" if d is None else str(d) for d in needed)
    least = min((d for d in needed if d is not None), default=None)
    lines += [*table(rows), "", f"free embeddings return every set with {told} dimensions" + _over(found)]
    if least is not None:
        lines.append(f"so {least} are enough; that training fails with fewer does not say that no vectors do it")
    return "\n".join(lines)


def _over(found: Sequence[Needed]) -> str:
    return f" ({len(found)} seeds)" if len(found) > 1 else ""


def _row(one: Returned) -> Sequence[str]:
    return [
        str(one.dimensions),
        *(f"{value:.4f}" for value in one.recall.values()),
        f"{one.whole:.1%}",
        _number(one.margin),
        "–" if one.wanted_in_reach is None else f"{one.wanted_in_reach:.1%}",
        "–" if one.any_in_reach is None else f"{one.any_in_reach:.1%}",
    ]


def _recalls(one: Returned) -> str:
    return ", ".join(f"@{depth} {value:.4f}" for depth, value in one.recall.items())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"

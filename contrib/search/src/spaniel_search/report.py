"""A search as one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from spaniel.data.files import write_text
from spaniel.evaluation.charts import Axis, linear_axis, logarithmic_axis

from spaniel_search.curves import compared, cost_of, cost_words, front_of, steps_of
from spaniel_search.searching import Result
from spaniel_search.trials import Trial

_LISTED = 200
"""Trials in the table, the best first."""


@dataclass(frozen=True)
class Dot:
    """A trial in a chart, in per cent; ``y`` counts from the top."""

    x: float
    y: float
    title: str
    marked: bool


@dataclass(frozen=True)
class Chart:
    """A chart: axes, dots, and a line through some places."""

    title: str
    x_words: str
    x: Axis
    y: Axis
    dots: tuple[Dot, ...]
    line: tuple[tuple[float, float], ...]

    @property
    def strokes(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """The line as pairs of places."""
        return list(zip(self.line, self.line[1:], strict=False))


def write_report(result: Result, path: Path) -> None:
    """Write a search as one HTML file: what was found, the way to it, cost beside score, and the trials.

    Raises:
        ArtifactError: the file cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    ranked = sorted(compared(result), key=lambda t: (-(t.score or 0.0), t.number))
    page = template.render(
        result=result,
        facts=result.facts,
        measure=str(result.facts.get("measure", "score")),
        charts=[_way(result), _costs(result)],
        ranked=ranked[:_LISTED],
        left=len(ranked) - _LISTED,
        failures=[t for t in result.trials if t.score is None and not t.repeated][:_LISTED],
        name=_name,
        cost=cost_of,
    )
    with write_text(path) as file:
        file.write(page)


def _name(trial: Trial) -> str:
    return str(trial.detail.get("expression", trial.candidate))


def _title(trial: Trial) -> str:
    return f"{trial.number}: {_name(trial)}: {trial.score:.4f}, {cost_of(trial):.3g} ms"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _heights(trials: Sequence[Trial]) -> Axis:
    scores = [trial.score or 0.0 for trial in trials]
    return linear_axis(min(scores), max(scores), _short)


def _way(result: Result) -> Chart:
    steps = [step for step in steps_of(result) if step.trial.score is not None]
    y = _heights([step.trial for step in steps])
    x = linear_axis(0.0, max(step.spent for step in steps), _short)
    dots = tuple(
        Dot(
            x.place(s.spent), 100 - y.place(s.trial.score or 0.0), _title(s.trial), s.trial.number == result.best.number
        )
        for s in steps
    )
    line: list[tuple[float, float]] = []
    for step in steps:
        if step.best is None:
            continue
        place = (x.place(step.spent), 100 - y.place(step.best))
        if line and line[-1][1] != place[1]:
            line.append((place[0], line[-1][1]))
        line.append(place)
    return Chart("The best so far", "candidates scored", x, y, dots, tuple(line))


def _costs(result: Result) -> Chart:
    trials = compared(result)
    costs = [cost_of(trial) for trial in trials]
    y = _heights(trials)
    if min(costs) > 0 and max(costs) / min(costs) > 20:
        x = logarithmic_axis(min(costs), max(costs), _short)
    else:
        x = linear_axis(0.0, max(costs) or 1.0, _short)
    front = front_of(trials)
    dots = tuple(
        Dot(x.place(cost_of(t)), 100 - y.place(t.score or 0.0), _title(t), t.number == result.best.number)
        for t in trials
    )
    line = tuple((x.place(cost_of(t)), 100 - y.place(t.score or 0.0)) for t in front)
    return Chart("Candidates by cost and score", cost_words(result), x, y, dots, line)

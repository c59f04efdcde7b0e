"""Reports stand alone, escape what they show, draw what was measured, and say what they need."""

from __future__ import annotations

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from spaniel.errors import ArtifactError, UsageError
from spaniel.evaluation import Evaluation, SystemResult, charts, check_report_extra, compare, write_report

VOID = {"meta", "br", "line", "circle", "path"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and refuses what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def system(name: str, values: np.ndarray, cost: dict[str, float]) -> SystemResult:
    ids = tuple(f"q{number}" for number in range(values.shape[1]))
    return SystemResult(name, f"{name} >> cut(k=10)", Evaluation(("nDCG@10", "AP"), ids, values), cost)


def systems() -> list[SystemResult]:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 30)), rng.random((2, 30))
    second[0, :3] = first[0, :3]
    return [
        system("bm25", first, {"ms_per_query": 0.5, "model_calls": 0}),
        system("dense", second, {"ms_per_query": 80.0, "model_calls": 12}),
        system("silent", first / 2, {"model_calls": 3}),
    ]


TEXTS = {f"q{number}": f"the text of query {number}" for number in range(30)}
RECIPE = {"made_with": {"python": "3.11"}, "settings": {"seed": 5}}


def written(tmp_path: Path, comparison, texts=None, recipe=None) -> str:
    write_report(tmp_path / "report.html", comparison, texts, recipe)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("all_pairs", [False, True])
def test_a_report_shows_everything(tmp_path, all_pairs) -> None:
    made = systems()
    comparison = compare(
        made, {"name": "cranfield", "split": "test", "documents": 1400, "queries": 30}, all_pairs=all_pairs
    )
    text = written(tmp_path, comparison, TEXTS, RECIPE)
    page = Page(text)
    shown = "".join(page.text)
    for given in made:
        assert given.expression in shown
        for mean in given.evaluation.means.values():
            assert f"{mean:.4f}" in shown
    for difference in comparison.differences:
        assert f"{difference.difference:+.4f}" in shown
        assert f"corrected {difference.p_corrected:.4f}" in shown
        changes = comparison.changes(difference)
        assert difference.wins == 0 or TEXTS[f"q{changes.argmax()}"] in shown
        assert difference.losses == 0 or TEXTS[f"q{changes.argmin()}"] in shown
    for words in ("1,400 documents", "python", "3.11", "Made with", "Holm", "Not known for 3"):
        assert words in shown


def test_a_report_needs_no_network(tmp_path) -> None:
    text = written(tmp_path, compare(systems(), {"name": "x"}), TEXTS, RECIPE)
    assert "http" not in text
    assert "url(" not in text
    for tag, attributes in Page(text).tags:
        assert tag not in {"link", "img", "iframe", "object", "embed"}
        assert not {"src", "href", "srcset"} & attributes.keys()


def test_a_report_escapes_what_it_shows(tmp_path) -> None:
    evil = '"><script>alert(1)</script><b x="'
    first, second, _ = systems()
    hostile = SystemResult(evil, evil, first.evaluation, first.cost)
    comparison = compare([hostile, second], {"name": evil, "split": "</title>", evil: evil})
    text = written(tmp_path, comparison, dict.fromkeys(TEXTS, evil), {evil: {evil: evil}})
    tags = Page(text).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert not [tag for tag, _ in tags if tag == "b"]
    assert "alert(1)</script>" not in text


def test_the_same_comparison_gives_the_same_file(tmp_path) -> None:
    assert written(tmp_path, compare(systems()), TEXTS) == written(tmp_path, compare(systems()), TEXTS)


def test_one_part_of_each_choice_is_shown_before_any_script_runs(tmp_path) -> None:
    comparison = compare(systems())
    parts = [(tag, a) for tag, a in Page(written(tmp_path, comparison)).tags if "data-measure" in a]
    figures = [attributes for tag, attributes in parts if tag == "figure"]
    assert [(a["data-measure"], a["data-cost"]) for a in figures if "hidden" not in a] == [("nDCG@10", "ms_per_query")]
    assert len(figures) == 4
    sections = [attributes for tag, attributes in parts if tag == "section"]
    assert [a["data-measure"] for a in sections if "hidden" not in a] == ["nDCG@10", "nDCG@10"]


@pytest.mark.parametrize("count", [1, 2])
def test_reports_of_few_systems_without_costs_texts_or_queries(tmp_path, count) -> None:
    made = [system(name, np.zeros((2, 0)), {}) for name in ("one", "two")[:count]]
    shown = "".join(Page(written(tmp_path, compare(made))).text)
    assert "one >> cut(k=10)" in shown
    assert "Quality against cost" not in shown


def test_the_missing_extra_is_named(tmp_path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("spaniel.evaluation.report.find_spec", lambda name: None if name == "jinja2" else find(name))
    with pytest.raises(UsageError, match=re.escape('pip install "spaniel[report]"')):
        check_report_extra()
    with pytest.raises(UsageError, match=re.escape('pip install "spaniel[report]"')):
        write_report(tmp_path / "report.html", compare(systems()))
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path) -> None:
    with pytest.raises(ArtifactError, match="absent"):
        write_report(tmp_path / "absent" / "report.html", compare(systems()))
    assert list(tmp_path.iterdir()) == []


def heights(path: str, queries: int) -> np.ndarray:
    """Read the bars back from an outline."""
    found = np.zeros(queries)
    start = 0
    for height, end in re.findall(r"V([\d.]+)H(\d+)", path):
        found[start : int(end)] = 100 - float(height)
        start = int(end)
    return found


def test_bars_are_the_sorted_differences() -> None:
    changes = np.array([0.5, -0.25, 0.0, 0.125, 0.5, -1.0, 0.0])
    drawn = charts.bars(changes, 1.0)
    np.testing.assert_allclose(
        heights(drawn.gains, 7) + heights(drawn.losses, 7), 100 * np.sort(changes)[::-1], atol=0.1
    )
    assert charts.bars(np.zeros(3), 0.0).gains == charts.bars(np.zeros(0), 0.0).losses == ""


def test_bars_of_many_queries_stay_small() -> None:
    drawn = charts.bars(np.random.default_rng(0).normal(0, 0.2, 100_000), 1.0)
    assert len(drawn.gains) + len(drawn.losses) < 40_000


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.41, 0.4100001), (0.2, 0.2), (0, 0), (-3, 7e6), (0, 1e-7)])
def test_linear_axes_hold_their_values(low, high) -> None:
    axis = charts.linear_axis(low, high, str)
    assert 2 <= len(axis.ticks) <= 9
    assert -1e-6 <= axis.place(low) <= axis.place(high) <= 100 + 1e-6
    assert (axis.ticks[0][0], axis.ticks[-1][0]) == (0, 100)


@pytest.mark.parametrize(("low", "high"), [(0.5, 20), (1, 1000), (3e-4, 8e7), (99, 2001)])
def test_logarithmic_axes_hold_their_values(low, high) -> None:
    axis = charts.logarithmic_axis(low, high, lambda value: f"{value:g}")
    assert 2 <= len(axis.ticks) <= 9
    assert 0 <= axis.place(low) < axis.place(high) <= 100
    for at, label in axis.ticks:
        assert axis.place(float(label)) == pytest.approx(at)


def test_the_scatter_places_systems_by_measure_and_cost() -> None:
    drawn = charts.scatter(compare(systems()), "AP", "ms_per_query")
    assert drawn.x.logarithmic
    assert drawn.missing == (3,)
    assert [point.number for point in drawn.points] == [1, 2]
    assert drawn.points[0].x < drawn.points[1].x
    assert all(0 <= point.top < point.y < point.bottom <= 100 for point in drawn.points)
    assert not charts.scatter(compare(systems()), "AP", "model_calls").x.logarithmic

"""Comparisons have the promised shape, name directions rightly, and fit terminals of any width."""

from __future__ import annotations

import json
import unicodedata

import click
import numpy as np
import pytest
from spaniel.errors import UsageError
from spaniel.evaluation import Evaluation, SystemResult, compare, comparison_table, cost_line
from spaniel.evaluation.statistics import bootstrap_intervals, holm, randomisation_tests

COST = {
    "ms_per_query": 1.5, "build_seconds": 2.0, "bytes_on_disk": 3e6, "peak_memory_bytes": 4e8, "model_calls": 5,
}  # fmt: skip
QUERIES = 40


def system(name: str, shift: float, queries: int = QUERIES, cost=COST) -> SystemResult:
    rng = np.random.default_rng(7)
    values = np.clip(rng.random((2, queries)) * 0.8 + shift * rng.random((2, queries)), 0, 1)
    return SystemResult(
        name, f"{name}(k=3)", Evaluation(("nDCG@10", "AP"), tuple(map(str, range(queries))), values), cost
    )


SYSTEMS = [system("weak", 0.0), system("strong", 0.3), system("between", 0.15)]


def test_json_has_the_promised_shape() -> None:
    comparison = compare(SYSTEMS, {"name": "test"}, seed=3)
    made = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert made["data"] == {"name": "test"}
    assert made["seed"] == 3
    for entry, given in zip(made["systems"], SYSTEMS, strict=True):
        assert set(entry) == {"name", "expression", "measures", "intervals", "cost"}
        assert (entry["name"], entry["expression"]) == (given.name, given.expression)
        assert entry["measures"] == given.evaluation.means
        assert entry["cost"] == COST
        assert all(low < entry["measures"][name] < high for name, (low, high) in entry["intervals"].items())
    assert [(c["baseline"], c["system"], c["measure"]) for c in made["comparisons"]] == [
        ("weak", "strong", "nDCG@10"), ("weak", "strong", "AP"), ("weak", "between", "nDCG@10"), ("weak", "between", "AP"),
    ]  # fmt: skip
    keys = {"baseline", "system", "measure", "difference", "p", "p_corrected", "wins", "ties", "losses", "effect_size"}
    assert all(set(entry) == keys for entry in made["comparisons"])


def test_what_is_counted_is_shown_and_not_tested() -> None:
    def counted(name: str, found: int) -> SystemResult:
        values = np.array([[found, found, 0.0], [1, 1, 1], [0.1 * found, 0.2, 0.3]])
        return SystemResult(name, name, Evaluation(("NumRet", "NumQ", "AP"), ("1", "2", "3"), values), {})

    comparison = compare([counted("few", 2), counted("many", 5)])
    assert [difference.measure for difference in comparison.differences] == ["AP"]
    assert [set(intervals) for intervals in comparison.intervals] == [{"AP"}, {"AP"}]
    assert (comparison.best("NumRet"), comparison.best("AP")) == (frozenset(), frozenset({1}))
    assert comparison.to_json()["systems"][1]["measures"] == {"NumRet": 10, "NumQ": 3, "AP": pytest.approx(1 / 3)}
    table = click.unstyle(comparison_table(comparison, 200))
    assert [line.split()[2:5] for line in table.splitlines()[2:4]] == [["4", "3", "0.2333"], ["10", "3", "0.3333"]]
    assert "Δ AP" in table
    only = Evaluation(("NumQ",), ("1",), np.ones((1, 1)))
    alone = compare([SystemResult("a", "a", only, {}), SystemResult("b", "b", only, {})])
    assert alone.differences == ()
    assert "NumQ" in comparison_table(alone)


def test_values_by_query_are_there_when_asked_for() -> None:
    made = compare(SYSTEMS).to_json(per_query=True)
    assert made["systems"][1]["per_query"]["7"]["AP"] == SYSTEMS[1].evaluation.values("AP")[7]


def test_differences_are_of_the_system_against_the_baseline() -> None:
    comparison = compare(SYSTEMS, seed=1)
    values = [given.evaluation.per_query for given in SYSTEMS]
    rows = np.concatenate([values[1] - values[0], values[2] - values[0]])
    p_values = randomisation_tests(rows, seed=1)
    for found, row, p, corrected in zip(comparison.differences, rows, p_values, holm(p_values), strict=True):
        assert found.difference == pytest.approx(row.mean())
        assert (found.p, found.p_corrected) == (p, corrected)
        assert (found.wins, found.ties, found.losses) == ((row > 0).sum(), 0, (row < 0).sum())
        np.testing.assert_array_equal(comparison.changes(found), row)
    ends = bootstrap_intervals(np.concatenate(values), seed=1)
    assert [tuple(e) for e in ends.tolist()] == [ends for given in comparison.intervals for ends in given.values()]


def test_another_baseline_turns_the_sign() -> None:
    forth, back = compare(SYSTEMS[:2]), compare(SYSTEMS[:2], baseline=1)
    for one, two in zip(forth.differences, back.differences, strict=True):
        assert (one.baseline, one.system) == (two.system, two.baseline)
        assert one.difference == -two.difference
        assert (one.wins, one.losses, one.p) == (two.losses, two.wins, two.p)
        assert one.effect_size == pytest.approx(-two.effect_size)


def test_all_pairs() -> None:
    comparison = compare(SYSTEMS, all_pairs=True)
    pairs = [(d.baseline, d.system) for d in comparison.differences if d.measure == "AP"]
    assert pairs == [("weak", "strong"), ("weak", "between"), ("strong", "between")]
    assert comparison.mark(1, "AP") == ">1,3"
    assert comparison.mark(0, "AP") == ""


def test_marks_and_the_best() -> None:
    comparison = compare(SYSTEMS)
    assert [comparison.mark(at, "AP") for at in range(3)] == ["", "*", "*"]
    assert comparison.best("AP") == {1}
    assert compare([SYSTEMS[0], system("same", 0.0)]).best("AP") == {0, 1}
    assert compare(SYSTEMS[:1]).best("AP") == frozenset()


def test_equal_systems_do_not_differ() -> None:
    comparison = compare([SYSTEMS[0], system("same", 0.0)])
    assert all((d.p, d.p_corrected, d.ties, d.effect_size) == (1, 1, QUERIES, 0) for d in comparison.differences)


def test_without_queries_everything_is_0() -> None:
    comparison = compare([system("one", 0.0, queries=0), system("two", 0.1, queries=0)])
    assert [d.p for d in comparison.differences] == [1, 1]
    assert json.dumps(comparison.to_json(), allow_nan=False)
    assert "two" in comparison_table(comparison)


@pytest.mark.parametrize(
    ("systems", "baseline", "said"),
    [
        ([], 0, "no systems"),
        (SYSTEMS, 3, "no baseline 3"),
        ([SYSTEMS[0], SYSTEMS[0]], 0, "2 systems have the name 'weak'"),
        ([SYSTEMS[0], system("other", 0.0, queries=39)], 0, "other queries or by other measures"),
    ],
)
def test_what_cannot_be_compared_is_refused(systems, baseline, said) -> None:
    with pytest.raises(UsageError, match=said):
        compare(systems, baseline=baseline)


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("all_pairs", [False, True])
def test_tables_fit_and_say_everything(width, all_pairs) -> None:
    systems = [*SYSTEMS, system('(词频 % 100) >> cross-encoder(model="a-rather-long-name", k=10)', 0.2)]
    comparison = compare(
        systems, {"name": "cranfield", "split": "test", "documents": 1400, "queries": QUERIES}, all_pairs=all_pairs
    )
    text = click.unstyle(comparison_table(comparison, width))
    assert all(columns(line) <= width for line in text.splitlines())
    assert "1,400 documents" in text
    for given in systems:
        assert f"{given.evaluation.means['nDCG@10']:.4f}" in text
        assert f"{given.evaluation.means['AP']:.4f}" in text
        assert given.name.split()[0] in text
    for words in ("ms/query", "1.50", "2.0 s", "3.0 MB", "400.0 MB", "won", "effect size", "Holm"):
        assert words in text


def test_wide_tables_hold_a_system_in_a_line() -> None:
    lines = click.unstyle(comparison_table(compare(SYSTEMS), 160)).splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("system"))
    assert set(lines[head + 1]) == {"─"}
    assert len({len(line) for line in lines[head : head + 5]}) == 1
    assert lines[head + 3].startswith("2 strong")


def test_the_best_is_bold() -> None:
    comparison = compare(SYSTEMS)
    assert click.style(f"{SYSTEMS[1].evaluation.means['AP']:.4f}", bold=True) in comparison_table(comparison, 200)


def test_names_cannot_steer_a_terminal() -> None:
    text = click.unstyle(comparison_table(compare([system("a\x1b[2Jb\n", 0.0), SYSTEMS[0]]), 200))
    assert "\x1b" not in text
    assert "a\\x1b[2Jb\\n" in text


def test_costs_that_were_not_measured() -> None:
    comparison = compare([system("bare", 0.0, cost={}), system("timed", 0.1, cost={"ms_per_query": 250.0})])
    text = click.unstyle(comparison_table(comparison, 120))
    assert "250" in text
    assert "–" in text
    assert "memory" not in text


def test_costs_in_one_line() -> None:
    assert cost_line(COST) == "1.50 ms a query, built in 2.0 s, 3.0 MB on disk, 400.0 MB peak memory, 5 model calls"
    assert cost_line({"ms_per_query": 1500.0, "model_calls": 0}) == "1,500 ms a query"
    assert cost_line({}) == ""

"""The correlation report: against scipy, and against published correlations of a real table."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import UsageError
from spaniel.testing import Bits, Cli
from spaniel_search.correlation import correlate, correlation_table
from spaniel_search.proxies import score_all

DATA = Path(os.environ.get("SPANIEL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "nas-flexibert"

VALUES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6).map(lambda v: round(v, 3)))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=3, max_size=60))
@settings(max_examples=100, deadline=None)
def test_coefficients_are_those_of_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    (found,) = correlate(y, {"x": x}, resamples=0)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert (found.tau, found.rho, found.r) == (None, None, None)
        return
    assert found.tau == pytest.approx(scipy.stats.kendalltau(x, y, variant="b").statistic, abs=1e-12)
    assert found.rho == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.r == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-6)


def test_intervals_are_those_of_scipys_bootstrap() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    y = x + rng.normal(size=80)
    (found,) = correlate(y, {"x": x}, resamples=4000)
    statistics = {
        "tau": lambda a, b: scipy.stats.kendalltau(a, b).statistic,
        "rho": lambda a, b: scipy.stats.spearmanr(a, b).statistic,
        "r": lambda a, b: scipy.stats.pearsonr(a, b).statistic,
    }
    for name, statistic in statistics.items():
        theirs = scipy.stats.bootstrap(
            (x, y), statistic, paired=True, vectorized=False, n_resamples=1500, method="percentile", rng=1
        ).confidence_interval
        assert found.intervals[name] == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert correlate(y, {"x": x}, resamples=4000)[0] == found, "one seed, one result"


def test_strata_trivial_proxies_and_small_groups() -> None:
    scores = [1.0, 2, 3, 4, 5, 6, 7]
    found = correlate(scores, {"p": [1, 2, 3, 7, 6, 5, 4]}, {"size": scores}, strata=[2, 2, 2, 4, 4, 4, 8])
    assert [(one.proxy, one.stratum, one.n, one.trivial) for one in found] == [
        (proxy, stratum, n, trivial)
        for stratum, n in (("all", 7), ("2", 3), ("4", 3), ("8", 1))
        for proxy, trivial in (("p", False), ("size", True))
    ]
    taus = {(one.proxy, one.stratum): one.tau for one in found}
    assert taus["p", "2"] == 1
    assert taus["p", "4"] == -1
    assert taus["size", "all"] == 1
    assert taus["p", "8"] is None
    table = correlation_table(found)
    assert len({len(row) for row in table}) == 1
    assert "size (trivial)" in table[2]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="for 3 candidates"):
        correlate([1, 2, 3], {"p": [1, 2]})
    with pytest.raises(UsageError, match="candidate 1 is nan"):
        correlate([1, 2, 3], {"p": [1, float("nan"), 2]})
    with pytest.raises(UsageError, match="2 strata"):
        correlate([1, 2, 3], {"p": [1, 2, 3]}, strata=["a", "b"])


class Tapping(Bits):
    """Bits that can be run, and count how often."""

    def __init__(self) -> None:
        super().__init__(6)
        self.passes: list[list[str]] = []

    def forward(self, candidate: list[int], seed: int, taps: list[str]) -> dict[str, float]:
        self.passes.append(list(taps))
        return {tap: float(sum(candidate) * (at + 1)) for at, tap in enumerate(taps)}


class Tap:
    """A proxy that reads one tap."""

    direction = "maximise"

    def __init__(self, tap: str) -> None:
        self.taps = (tap,)

    def score(self, space: Tapping, candidate: list[int], seed: int) -> float:
        return self.score_taps(space.forward(candidate, seed, list(self.taps)))

    def score_taps(self, seen: dict[str, float]) -> float:
        (value,) = seen.values()
        return value


def test_proxies_with_taps_share_one_pass() -> None:
    space = Tapping()
    found = score_all(space, {"a": Tap("hidden"), "b": Tap("attention"), "c": Tap("hidden")}, [1, 1, 0, 0, 0, 1], 0)
    assert found == {"a": 3.0, "b": 6.0, "c": 3.0}
    assert space.passes == [["hidden", "attention"]]


# The real table: 500 trained BERT architectures with GLUE scores (Serianni and Kalita, ACL 2023).

needs_table = pytest.mark.skipif(
    not DATA.is_dir(), reason="the table nas-flexibert is not there; SPANIEL_TEST_DATA names the folder that has it"
)


@needs_table
def test_the_number_of_parameters_does_as_well_as_published(run_cli: Cli, tmp_path: Path) -> None:
    with gzip.open(DATA / "BERT_benchmark.json.gz", "rt") as file:
        nets = json.load(file)
    settings_ = [net["hparams"]["model_hparam_overrides"] for net in nets]
    depth = [len(net["nas_config"]["encoder_layers"]) for net in settings_]
    hidden = [net["hidden_size"] for net in settings_]
    glue = [net["scores"]["glue"] for net in nets]
    found = correlate(glue, {}, {"depth": depth, "hidden size": hidden}, strata=depth)
    by = {(one.proxy, one.stratum): one for one in found}
    assert by["depth", "all"].tau == pytest.approx(0.682, abs=1e-3)
    assert by["depth", "all"].rho == pytest.approx(0.834, abs=1e-3)
    assert by["hidden size", "all"].tau == pytest.approx(0.341, abs=1e-3)
    assert (by["hidden size", "2"].n, by["hidden size", "4"].n) == (239, 261)
    assert by["hidden size", "4"].tau == pytest.approx(0.698, abs=1e-3)

    table = DATA / "BERT_results_activation.csv.gz"
    told = run_cli(
        "correlate", str(table), "--score", "GLUE Score", "--proxy", "Head Confidence", "--trivial",
        "Number of Parameters", "--json",
    ).json  # fmt: skip
    confidence, parameters = told
    assert (confidence["tau"], confidence["r"], confidence["rho"]) == pytest.approx((0.478, 0.669, 0.716), abs=1e-3)
    assert (parameters["tau"], parameters["r"], parameters["rho"]) == pytest.approx((0.454, 0.590, 0.652), abs=1e-3)
    low, high = parameters["intervals"]["tau"]
    assert low < 0.454 < high
    assert high - low == pytest.approx(4 * 0.019, abs=0.02), "the standard deviation of the bootstrap is 0.019"


def test_tables_are_read_and_their_faults_named(run_cli: Cli, tmp_path: Path) -> None:
    lines = tmp_path / "t.jsonl"
    lines.write_text("".join(json.dumps({"s": at, "p": -at, "by": at % 2}) + "\n" for at in range(8)))
    printed = run_cli("correlate", str(lines), "--score", "s", "--proxy", "-p", "--by", "by").stdout
    assert "all      8  p      +1.000" in printed
    assert len(printed.splitlines()) == 4
    for text, name, said in (
        ("s,p\n1,2\n1\n", "bad.csv", "row 3 has another number of cells"),
        ("s,p\n1,x\n", "bad.csv", "no finite number: 'x'"),
        ("s\n1\n", "bad.csv", "has no 'p'; it has s"),
        ("s,p\n", "bad.csv", "no rows"),
        ("[1]\n", "bad.jsonl", "a row is a mapping"),
        ("s p", "bad.txt", "ends in .csv, .tsv or .jsonl"),
    ):
        (tmp_path / name).write_text(text)
        ran = run_cli("correlate", str(tmp_path / name), "--score", "s", "--proxy", "p")
        assert ran.exit_code == 2
        assert said in ran.stderr

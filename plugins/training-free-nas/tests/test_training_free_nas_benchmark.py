"""The published benchmark: identities, correlations and parameter counts, from the released files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, UsageError
from spaniel.testing.cli import Cli
from spaniel_search.correlation import Correlation, correlate
from spaniel_training_free_nas import bench
from spaniel_training_free_nas.config import FlexiBertConfig
from spaniel_training_free_nas.report import cell_correlations, encoder_correlations, selections, spread_over_seeds

# tau-b, r, rho over all; tau-b within 2 and 4 blocks: computed from the released files with scipy.
ENCODERS = {
    "Head Confidence": (0.478, 0.669, 0.716, -0.042, 0.050),
    "Head Confidence Normalized": (0.299, 0.392, 0.455, -0.037, -0.101),
    "parameters as published": (0.454, 0.590, 0.652, 0.082, 0.150),
    "Activation Distance": (0.222, 0.323, 0.331, 0.071, 0.072),
    "Head Softmax Confidence": (0.216, 0.213, 0.326, 0.030, -0.066),
    "parameters as trained": (0.573, 0.659, 0.765, 0.384, 0.521),
    "parameters as declared, trained widths": (0.553, 0.653, 0.752, None, None),
    "layers": (0.682, None, 0.834, None, None),
    "hidden size": (0.341, None, 0.417, 0.477, 0.698),
    "Synaptic Saliency": (0.188, None, None, 0.007, -0.026),
    "Synaptic Diversity": (0.156, None, None, 0.009, -0.102),
    "Head Importance": (0.164, None, None, 0.018, -0.081),
    "Jacobian Score": (-0.042, None, None, 0.002, 0.070),
    "Jacobian Score Normalized": (0.003, None, None, -0.021, 0.025),
}
CELLS = {
    "Layer 1 Hidden Covariance": (0.372, 0.405, 0.524),
    "Layer 2 Hidden Covariance": (0.314, 0.416, 0.457),
    "Layer 3 Hidden Covariance": (0.247, 0.333, 0.367),
    "More Noised Jacobian Cosine": (0.280, 0.086, 0.417),
    "More Noised Jacobian": (-0.273, -0.021, -0.411),
    "Large Noise Jacobian Cosine": (-0.273, -0.138, -0.410),
    "Large Noise Jacobian": (-0.259, -0.077, -0.396),
    "Hidden Synaptic Saliency": (-0.268, -0.221, -0.393),
    "Jacobian Cosine": (0.264, 0.074, 0.398),
    "Jacobian Covariance": (0.003, 0.016, 0.005),
    "Activation Distance": (0.223, 0.232, 0.338),
    "Synaptic Saliency": (-0.122, -0.091, -0.183),
    "parameters": (0.025, 0.046, None),
}


@pytest.fixture(scope="module")
def encoders(benchmark_folder: Path) -> bench.Encoders:
    return bench.read_encoders(benchmark_folder)


def test_scores_are_means_of_eight_tasks(encoders: bench.Encoders) -> None:
    assert len(encoders.candidates) == 500
    np.testing.assert_allclose(encoders.tasks.mean(1), encoders.glue, atol=1e-9)


def test_drawing_again_gives_the_published_encoders(encoders: bench.Encoders, context: Context) -> None:
    space = context.create("search_space", "flexibert")
    assert space.published() == encoders.candidates
    for candidate in encoders.candidates:
        space.validate(candidate)


def test_published_parameters_are_those_of_other_networks(encoders: bench.Encoders, benchmark_folder: Path) -> None:
    published = bench.encoder_proxies(benchmark_folder)["Number of Parameters"]
    np.testing.assert_array_equal(encoders.parameters(compat="reference"), published)
    assert (encoders.parameters() != published).sum() > 400


@pytest.mark.parametrize("name", ENCODERS)
def test_published_correlations_of_encoders(name: str, encoders: bench.Encoders, benchmark_folder: Path) -> None:
    found = {(one.stratum, one.proxy): one for one in encoder_correlations(benchmark_folder, encoders)}
    every = found["all", name]
    values = (every.tau, every.r, every.rho, found["2", name].tau, found["4", name].tau)
    for value, expected in zip(values, ENCODERS[name], strict=True):
        if expected is not None:
            assert value == pytest.approx(expected, abs=1.1e-3)


@pytest.mark.parametrize("name", CELLS)
def test_published_correlations_of_cells(name: str, benchmark_folder: Path) -> None:
    found = {one.proxy: one for one in cell_correlations(benchmark_folder)}
    for value, expected in zip((found[name].tau, found[name].r, found[name].rho), CELLS[name], strict=True):
        if expected is not None:
            assert value == pytest.approx(expected, abs=1.1e-3)
    assert found[name].n == (10_031 if name == "parameters" else 8_794)


def test_within_a_depth_no_published_proxy_says_anything_and_width_does(
    encoders: bench.Encoders, benchmark_folder: Path
) -> None:
    found = {(one.stratum, one.proxy): one for one in encoder_correlations(benchmark_folder, encoders)}
    proxies = [name for name in bench.encoder_proxies(benchmark_folder) if name != "Number of Parameters"]
    for depth in ("2", "4"):
        assert max(abs(found[depth, name].tau or 0) for name in proxies) <= 0.15
        assert (found[depth, "hidden size"].tau or 0) > 0.45
        assert (found[depth, "parameters as trained"].tau or 0) > 0.35


def test_operations_have_no_effect_on_the_published_scores(encoders: bench.Encoders) -> None:
    effects = {name: (effect, t) for name, effect, t in bench.operation_effects(encoders)}
    assert all(abs(t) < 2 for name, (_, t) in effects.items() if name.startswith("share of"))
    assert effects["4 blocks"][1] > 20
    assert effects["256 wide"][1] > 10
    assert effects["share of DFT"] == pytest.approx((-0.70, -1.4), abs=0.05)


def test_published_activation_distances_count_hooks_that_piled_up(
    encoders: bench.Encoders, benchmark_folder: Path
) -> None:
    """The sum is its mean times a number that grows with each encoder by its blocks."""
    columns = bench.encoder_proxies(benchmark_folder)
    counted = np.rint(columns["Activation Distance"] / columns["Activation Distance Normalized"])
    calls = np.array([sum(layer["num_ff"] for layer in one["layers"]) for one in encoders.candidates])
    times = counted / calls
    assert (times >= encoders.depth).all()
    grown = np.diff(times) == encoders.depth[1:]
    assert grown.mean() > 0.9
    (counted_once,) = correlate(encoders.glue, {"once": columns["Activation Distance Normalized"] * calls}, resamples=0)
    assert counted_once.tau == pytest.approx(0.480, abs=1e-3)


def test_the_best_ten(encoders: bench.Encoders, benchmark_folder: Path) -> None:
    chosen = dict(selections(benchmark_folder, encoders))
    assert chosen["all of them"] == pytest.approx(68.89, abs=0.01)
    assert chosen["the scores themselves"] == pytest.approx(np.sort(encoders.glue)[-10:].mean())
    assert chosen["parameters as trained"] > chosen["Head Confidence"] > chosen["all of them"]


def test_ties_at_the_cut_are_shared() -> None:
    glue = np.array([1.0, 2.0, 3.0, 10.0])
    assert dict(bench.selected(glue, {"x": [0, 1, 1, 2]}, top=2))["x"] == pytest.approx((10 + 2.5) / 2)


def test_predictions_are_of_other_encoders(encoders: bench.Encoders) -> None:
    (found,) = correlate(encoders.glue, {"fit": bench.descriptors(encoders)}, resamples=0)
    assert found.tau == pytest.approx(0.735, abs=0.01)


def test_the_command_prints_the_tables(benchmark_folder: Path, tmp_path: Path) -> None:
    result = Cli(tmp_path)("nas-bench", "tables", str(benchmark_folder), "--resamples", "0", "--json")
    assert result.exit_code == 0, result.stderr
    told = result.json
    assert {row["proxy"] for row in told["cells"]} >= {"Layer 1 Hidden Covariance"}


def test_the_command_runs_any_proxy(benchmark_folder: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    space = f'flexibert(data="{texts}", batch_size=2, seq_len=8)'
    arguments = ["--proxy", "head-confidence", "--proxy", "count", "--space", space, "-n", "3", "--resamples", "0"]
    result = Cli(tmp_path)("nas-bench", "score", str(benchmark_folder), *arguments, "--out", str(out))
    assert result.exit_code == 0, result.stderr
    assert "head-confidence" in result.stdout
    encoders = bench.read_encoders(benchmark_folder)
    columns = bench.read_columns(out)
    np.testing.assert_allclose(columns["glue"], encoders.glue[:3])
    np.testing.assert_allclose(columns["count"], encoders.parameters()[:3])


def test_the_command_tells_the_spread_over_seeds(benchmark_folder: Path, texts: Path, tmp_path: Path) -> None:
    out, space = tmp_path / "scores.csv", f'flexibert(data="{texts}", batch_size=2, seq_len=8)'
    arguments = ["--proxy", "head-confidence", "--proxy", "count", "--space", space, "-n", "3", "--resamples", "0"]
    result = Cli(tmp_path)(
        "nas-bench", "score", str(benchmark_folder), *arguments, "--seeds", "2", "--seed", "5", "--out", str(out)
    )
    assert result.exit_code == 0, result.stderr
    assert "Kendall's tau-b over 2 seeds, mean ± half the range" in result.stdout
    columns = bench.read_columns(out)
    assert not np.array_equal(columns["head-confidence seed 5"], columns["head-confidence seed 6"])
    assert np.array_equal(columns["count seed 5"], columns["count seed 6"])


def test_the_spread_is_half_the_range() -> None:
    rows = spread_over_seeds([[Correlation("p", False, "all", 9, tau, None, None, {})] for tau in (0.1, 0.3, 0.2)])
    assert rows == [["p", "all", "0.200 ± 0.100"]]
    assert spread_over_seeds([[Correlation("p", False, "2", 9, None, None, None, {})]]) == [["p", "2", "–"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no BERT_benchmark.json"),
        ("[1, 2]", "no file of trained encoders"),
        ("{", "no file of trained encoders"),
    ],
)
def test_a_folder_that_is_none_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    if content is not None:
        (tmp_path / bench.ENCODERS).write_text(content)
    with pytest.raises(UsageError, match=message):
        bench.read_encoders(tmp_path)


def test_malformed_lines_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "log name,loss,size\na,1,2\nlog name,loss\nb,nan,3\nc,x,3\nd,4,5log name,loss,size\ne,6,7\n"
    )
    columns = bench.read_columns(tmp_path / "t.csv")
    assert columns["loss"].tolist() == [1, 6]
    assert columns["size"].tolist() == [2, 7]


def test_builds_differ_as_they_should() -> None:
    config = FlexiBertConfig(build="declared")
    candidate = {"hidden": 128, "layers": [{"op": "WMA", "heads": 2, "ff": 1024, "num_ff": 1}] * 2}
    counts = {
        build: bench.architectures.count(FlexiBertConfig(build=build), candidate)["parameters without embeddings"]
        for build in ("as-trained", "declared-operations", "declared")
    }
    attention = 4 * (128**2 + 128) + 2 * 128
    assert counts["as-trained"] == 2 * (attention + 2 * 128 * 512 + 512 + 128 + 2 * 128)
    assert counts["declared-operations"] - counts["as-trained"] == 2 * 128**2
    assert counts["declared"] - counts["declared-operations"] == 2 * (2 * 128 * 512 + 512)
    assert config.build == "declared"

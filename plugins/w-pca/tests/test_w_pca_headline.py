"""The published ranking, where its benchmark and the space it is about are at hand; and what comes of a search, trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context
from spaniel.plugins import load_registry
from spaniel.testing import Cli
from spaniel_w_pca.reproduce import run

DATA = Path(os.environ.get("SPANIEL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
READ = "batch_size=8, seq_len=128, tokenizer='sentence-transformers/all-MiniLM-L6-v2'"


def taus(run_cli: Cli, build: str) -> dict[tuple[str, str], float]:
    """Return tau-b by stratum and proxy, over the first 120 architectures."""
    folder = DATA / "nas-flexibert"
    names = {one.name for one in load_registry(warn=False).components("search_space")}
    if "flexibert" not in names or not folder.is_dir():
        pytest.skip(
            "the space flexibert is not installed, or nas-flexibert is not in the test data (SPANIEL_TEST_DATA)"
        )
    ran = run_cli("nas-bench", "score", str(folder), "-n", "120", "--resamples", "0", "--proxy", "v-pca", "--proxy", "w-pca",
                  "--space", f"flexibert({build}, {READ})", "--json")  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    return {(one["stratum"], one["proxy"]): one["tau"] or 0.0 for one in ran.json}


@pytest.mark.slow
def test_on_the_networks_as_trained_it_is_above_published_and_above_size(run_cli: Cli) -> None:
    found = taus(run_cli, "build=as-trained")
    assert 0.62 <= found["all", "w-pca"] <= 0.78
    assert found["all", "w-pca"] > max(found["all", "v-pca"], found["all", "parameters as built"]) + 0.05
    for depth in ("2", "4"):
        assert abs(found[depth, "w-pca"] - found[depth, "parameters as built"]) <= 0.12


@pytest.mark.slow
def test_on_the_published_wrong_networks_it_ranks_as_published(run_cli: Cli) -> None:
    found = taus(run_cli, "compat=reference")
    assert found["all", "v-pca"] == pytest.approx(0.466, abs=0.06)
    assert found["all", "w-pca"] == pytest.approx(0.526, abs=0.06)


@pytest.mark.slow
def test_the_headline_check_runs(tmp_path: Path) -> None:
    context: Any = Context(tmp_path / "store", device="cpu", offline=True)
    found = run(context, 0.02, [0], "python-docs")
    assert len(found.findings) == 7
    by_claim = {one.claim: one for one in found.findings}
    assert by_claim["scores hardly depend on weights and texts"].holds
    assert by_claim["genetic search finds more than random search at an equal budget"].mean > -5

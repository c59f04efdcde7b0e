"""`spaniel reproduce`: a plugin's figures beside its paper's, on the collection that the user names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from spaniel.testing import Cli, write_distribution

_PLUGIN = """
from spaniel import Experiment, hookimpl


@hookimpl
def experiments():
    yield Experiment("counts", "zoo_checks:counts", "counting counts", "Somebody 2020", minutes=0.1)
    yield Experiment("reads", "zoo_checks:reads", "reading reads", "Somebody 2021", collection="tiny", extra="more")
    yield Experiment("lacks", "zoo_checks:lacks", "it lacks", "Somebody 2022", extra="more")
    yield Experiment("wrong", "zoo_checks:wrong", "it is wrong", "Somebody 2023")
"""
_CHECKS = """
from spaniel.collections import find_dataset
from spaniel.reproduction import Finding, Reproduction


def counts(context, scale, seeds):
    measured = tuple(seed * scale for seed in seeds)
    findings = (Finding("seeds grow", "they do", measured, "seeds", measured[0] < measured[-1], "as they must"),)
    return Reproduction(findings, seeds, scale)


def reads(context, scale, seeds, collection):
    documents = float(len(context.obtain(find_dataset(context, collection).documents()).files))
    return Reproduction((Finding("it has files", "some", (documents,) * len(seeds)),), seeds, scale)


def lacks(context, scale, seeds):
    import a_package_that_is_not_there


def wrong(context, scale, seeds):
    return 1
"""


@pytest.fixture
def cli(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    files = {"zoo_offers.py": _PLUGIN, "zoo_checks.py": _CHECKS}
    write_distribution(tmp_path / "site", "spaniel-zoo", files, {"zoo": "zoo_offers"}, "0.3")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "zoo_checks", raising=False)
    return run_cli


def test_figures_stand_beside_the_claims(cli: Cli) -> None:
    shown = cli("reproduce", "counts", "--seeds", "3", "--scale", "2", "--seed", "1").stdout
    assert "Somebody 2020\ncounting counts\n" in shown
    assert "    paper     they do\n    measured  4 ± 2 seeds over 3 seeds\n    holds: as they must\n" in shown
    assert shown.endswith("scale 2, seeds 1, 2, 3\n")
    told = cli("reproduce", "counts", "--json").json
    assert told["findings"][0]["measured"] == [0.0, 1.0, 2.0]
    assert told["collection"] is None


def test_the_user_names_the_collection(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "1", "title": "", "text": "one"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "one"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    assert f"on {folder}\n" in cli("reproduce", "reads", "--collection", str(folder)).stdout
    assert cli("reproduce", "reads", "--collection", str(folder), "--json").json["collection"] == str(folder)
    ran = cli("reproduce", "reads")
    assert ran.exit_code == 2
    assert "no collection 'tiny'" in ran.stderr
    ran = cli("reproduce", "counts", "--collection", str(folder))
    assert ran.exit_code == 2
    assert "runs on no collection" in ran.stderr


def test_the_list_names_what_there_is(cli: Cli) -> None:
    listed = {check["slug"]: check for check in cli("reproduce", "--json").json}
    assert listed["reads"]["collection"] == "tiny"
    assert listed["counts"]["minutes"] == 0.1
    assert "counting counts" in cli("reproduce").stdout


def test_what_is_missing_is_named(cli: Cli) -> None:
    ran = cli("reproduce", "lacks")
    assert ran.exit_code == 2
    assert 'pip install "spaniel-zoo[more]"' in ran.stderr
    ran = cli("reproduce", "wrong")
    assert ran.exit_code == 1
    assert "returned int, not a Reproduction" in ran.stderr
    assert "did you mean reads?" in cli("reproduce", "read").stderr

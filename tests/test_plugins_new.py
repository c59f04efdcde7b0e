"""`spaniel plugins new`: what it writes installs, passes its own tests, and shows up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spaniel import UsageError
from spaniel.kinds import KINDS
from spaniel.plugins.scaffold import write_plugin
from spaniel.testing import Cli

KIND_NAMES = [kind.name for kind in KINDS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a plugin of each kind, as it is written, and one that all of them are freshly installed to."""
    folder = tmp_path_factory.mktemp("made")
    projects = [str(write_plugin(_name(kind), kind, folder)) for kind in KIND_NAMES]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), *projects], check=True)
    return folder, folder / "site"


def _name(kind: str) -> str:
    return f"my-{kind.replace('_', '-')}"


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_it_installs_and_keeps_its_promises(kind: str, made: tuple[Path, Path], run_cli: Cli) -> None:
    (projects, site), name = made, _name(kind)
    project = projects / f"spaniel-{name}"
    env = {"PYTHONPATH": str(site), "SPANIEL_PLUGINS": f"spaniel-{name}"}

    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)],
        env={**os.environ, **run_cli.env, **env},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " skipped" not in tests.stdout
    assert "contract(" in (project / "tests" / f"test_spaniel_{name.replace('-', '_')}.py").read_text()

    checked = run_cli.subprocess("plugins", "check", f"spaniel-{name}", "--json", env=env)
    assert checked.exit_code == 0, checked.stdout
    assert f"{kind}/{name}" in checked.json[0]["components"]


def test_it_is_formatted_and_typed(tmp_path: Path) -> None:
    folders = [str(write_plugin(f"my-{kind.replace('_', '-')}", kind, tmp_path)) for kind in KIND_NAMES]
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "120", *folders]
    for command in (["check", "--select", "E,F,I,B,UP"], ["format", "--check"]):
        ran = subprocess.run([*ruff, *command, *options], capture_output=True, encoding="utf-8", check=False)
        assert ran.returncode == 0, ran.stdout


def test_nothing_is_overwritten(tmp_path: Path, run_cli: Cli) -> None:
    folder = write_plugin("overlap", "rerank", tmp_path)
    assert folder.name == "spaniel-overlap"
    (folder / "README.md").write_text("mine")
    ran = run_cli("plugins", "new", "spaniel-overlap", "--kind", "encode", "-o", str(tmp_path))
    assert ran.exit_code == 2
    assert "nothing is overwritten" in ran.stderr
    assert (folder / "README.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name != "spaniel"] == ["spaniel-overlap"]


@pytest.mark.parametrize(
    "name", ["", "Overlap", "over_lap", "9-lives", "a--b", "-a", "../up", "null", "a/b", "a" * 61, "ä"]
)
def test_names_are_kebab_case(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="kebab-case"):
        write_plugin(name, "rerank", tmp_path)
    assert not list(tmp_path.iterdir())


def test_there_is_a_template_for_each_kind_of_the_core(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no template for the kind 'analyzer'; there are: encode, index"):
        write_plugin("mine", "analyzer", tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_plugin("mine", "rerank", tmp_path / "file")

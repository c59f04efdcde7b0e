"""The distributions that the guides for authors write down are what these tests install and run, block by block."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from spaniel.testing import Cli, write_distribution

ROOT = Path(__file__).parent.parent
GUIDES = {
    "indexes.md": "index/counting",
    "authors.md": "rerank/overlap",
}
"""Page → a component of the distribution in it."""


def _blocks(page: str) -> dict[str, str]:
    """Return path → text of the files that a page shows, each below a line that begins with its path."""
    found, above = {}, ""
    parts = re.split(r"^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for number, part in enumerate(parts):
        if number % 2 and (named := re.match(r"`([\w./-]+\.(?:py|toml))`", above)):
            found[named[1]] = part.partition("\n")[2]
        above = part.rstrip().rpartition("\n\n")[2].lstrip()
    assert {"pyproject.toml"} < found.keys()
    assert any(path.startswith("tests/") for path in found)
    return found


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_works_as_it_is_written(page: str, tmp_path: Path, run_cli: Cli) -> None:
    blocks = _blocks(page)
    site, project = tmp_path / "site", tomllib.loads(blocks["pyproject.toml"])["project"]
    modules = {path.removeprefix("src/"): text for path, text in blocks.items() if path.startswith("src/")}
    write_distribution(site, project["name"], modules, project["entry-points"]["spaniel"], project["version"])
    (test,) = [path for path in blocks if path.startswith("tests/")]
    (tmp_path / "tests").mkdir()
    (tmp_path / test).write_text(blocks[test])
    env = {"PYTHONPATH": str(site), "SPANIEL_PLUGINS": project["name"]}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / test)],
        env={**os.environ, **run_cli.env, **env},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " skipped" not in ran.stdout
    checked = run_cli.subprocess("plugins", "check", project["name"], "--json", env=env)
    assert checked.exit_code == 0, checked.stdout
    assert GUIDES[page] in checked.json[0]["components"]


def test_the_index_of_the_guide_searches_a_folder(tmp_path: Path, run_cli: Cli) -> None:
    blocks = _blocks("indexes.md")
    modules = {path.removeprefix("src/"): text for path, text in blocks.items() if path.startswith("src/")}
    write_distribution(tmp_path / "site", "spaniel-counting", modules, {"counting": "spaniel_counting"})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "tyre.txt").write_text("how to mend a flat tyre")
    (tmp_path / "notes" / "soup.txt").write_text("a soup of leeks")
    env = {"PYTHONPATH": str(tmp_path / "site"), "SPANIEL_PLUGINS": "spaniel-counting"}
    ran = run_cli.subprocess("search", "counting", str(tmp_path / "notes"), "flat tyre", "--json", env=env)
    assert ran.exit_code == 0, ran.stderr
    assert "tyre.txt" in ran.stdout
    assert "soup.txt" not in ran.stdout

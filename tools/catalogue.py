"""Writes core/spaniel/plugins/catalogue.json: which distribution of the project offers which component.

Run it with every distribution of the tree installed; ``--check`` only says whether the file is up to date.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import tomllib
from pathlib import Path

from spaniel.plugins import Registry, load_registry
from spaniel.plugins.discovery import canonical

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "core" / "spaniel" / "plugins" / "catalogue.json"


def distributions() -> set[str]:
    """Return the names of the distributions in the tree that offer plugins."""
    files = [ROOT / "pyproject.toml", *ROOT.glob("contrib/*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]
    projects = [tomllib.loads(path.read_text(encoding="utf-8"))["project"] for path in files]
    return {canonical(project["name"]) for project in projects if "spaniel" in project.get("entry-points", {})}


def missing(registry: Registry) -> set[str]:
    """Return the distributions of the tree that are not installed, or do not load."""
    return distributions() - {status.distribution for status in registry.plugins() if status.state == "ok"}


def catalogue(registry: Registry) -> str:
    """Return the file: kind → component → distribution, as JSON."""
    ours = distributions()
    made: dict[str, dict[str, str]] = {}
    for registered in registry.components():
        if registered.distribution in ours:
            made.setdefault(registered.kind, {})[registered.name] = registered.distribution
    return json.dumps(made, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where the file is out of date")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        # What the user has registered or switched off is none of the project's.
        os.environ["SPANIEL_CONFIG"] = folder
        registry = load_registry()
    if missing(registry):
        print(f"install these first: {', '.join(sorted(missing(registry)))}", file=sys.stderr)
        return 1
    text = catalogue(registry)
    if check:
        return int(FILE.read_text(encoding="utf-8") != text)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Distributions written on the fly: what tests of discovery install."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_distribution(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    entry_points: Mapping[str, str],
    version: str = "1.0",
) -> None:
    """Write an installed distribution into a folder; with the folder on ``PYTHONPATH``, its plugins are found.

    Args:
        folder: what goes on the path.
        name: name of the distribution.
        modules: relative path → source, such as ``{"my_plugin/__init__.py": "…"}``.
        entry_points: name → value of its entry points in the group ``spaniel``.
        version: its version.
    """
    for path, source in modules.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = [f"{plugin} = {value}" for plugin, value in entry_points.items()]
    (information / "entry_points.txt").write_text("\n".join(["[spaniel]", *lines, ""]), encoding="utf-8")

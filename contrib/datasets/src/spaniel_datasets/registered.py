"""The folders that the user registered under a name; a small JSON file in the user's configuration."""

from __future__ import annotations

import os
from pathlib import Path

from spaniel.errors import ArtifactError, UsageError


def _file() -> Path:
    from spaniel.plugins.settings import config_dir

    return config_dir() / "datasets.json"


def registered() -> dict[str, str]:
    """Return name → folder.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = _file()
    if not path.is_file():
        return {}
    import json

    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"cannot be read ({error}); repair or remove it") from error
    if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
        raise ArtifactError(path, "is no mapping of names to folders; repair or remove it")
    return names


def known() -> dict[str, str]:
    """Return name → folder; where the file is damaged that is said on standard error, and nothing is known."""
    import sys

    try:
        return registered()
    except ArtifactError as error:
        print(f"warning: the names that you gave to collections are lost for now: {error}", file=sys.stderr)
        return {}


def add(name: str, folder: Path) -> None:
    """Register a folder under a name.

    Raises:
        UsageError: the name is taken, or is none.
    """
    from spaniel.expression.tree import NAME, RESERVED

    if not NAME.fullmatch(name) or "/" in name or name in RESERVED:
        raise UsageError(f"{name!r} is no name for a collection; allowed: letters, digits, _ and -")
    names = registered()
    if name in names:
        raise UsageError(f"{name} is registered already, for {names[name]}; remove it first")
    _save({**names, name: str(folder.resolve())})


def remove(name: str) -> None:
    """Forget a registered folder; the folder itself stays.

    Raises:
        UsageError: no such name is registered.
    """
    names = registered()
    if name not in names:
        raise UsageError(f"{name!r} is not registered; registered are: {', '.join(names) or 'none'}")
    del names[name]
    _save(names)


def _save(names: dict[str, str]) -> None:
    import json

    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(names, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)

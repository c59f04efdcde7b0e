"""What the user has switched off, kept in the user's configuration folder."""

from __future__ import annotations

import os
from pathlib import Path

from spaniel.errors import ArtifactError


def config_dir() -> Path:
    """Return the configuration folder: ``SPANIEL_CONFIG``, else where the platform keeps such things."""
    given = os.environ.get("SPANIEL_CONFIG")
    if given:
        return Path(given)
    from platformdirs import user_config_dir

    return Path(user_config_dir("spaniel"))


def disabled() -> set[str]:
    """Return the names of distributions and entry points that are switched off; one a line in a text file.

    Raises:
        ArtifactError: the file cannot be read.
    """
    path = config_dir() / "disabled"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(path, f"cannot be read ({error}); repair or remove it") from error
    return {line.strip() for line in lines if line.strip()}


def save_disabled(names: set[str]) -> None:
    """Replace the list of what is switched off.

    Raises:
        ArtifactError: the file cannot be written.
    """
    path = config_dir() / "disabled"
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ArtifactError(path, f"cannot be written ({error}); SPANIEL_CONFIG names another folder") from error


def listed(variable: str) -> set[str] | None:
    """Return the names in an environment variable, separated by commas; ``None`` where it is not set."""
    value = os.environ.get(variable)
    return None if value is None else {name.strip() for name in value.split(",") if name.strip()}

"""The words that collections are made of: attributes by category, given names, and halves of family names."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from spaniel import UsageError


def attributes() -> list[str]:
    """Return the own attributes, in the order of the file; no two are the same."""
    lines = _read("attributes.txt").splitlines()
    return [item.strip() for line in lines for item in line.partition(": ")[2].split(",")]


def given_names() -> list[str]:
    """Return given names."""
    return [name.strip() for name in _read("given.txt").split(",")]


def family_names() -> list[str]:
    """Return family names: every first half with every second one, as in Ash-ford and Brook-wood."""
    first, second = ([part.strip() for part in line.split(",")] for line in _read("family.txt").splitlines())
    return [head + tail for head in first for tail in second]


def read_lines(path: str) -> list[str]:
    """Return the lines of a user's file that are not empty, each once.

    Raises:
        UsageError: the file cannot be read, or has none.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    found = list(dict.fromkeys(filter(None, (line.strip() for line in lines))))
    if not found:
        raise UsageError(f"{path} has no line with a word")
    return found


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")

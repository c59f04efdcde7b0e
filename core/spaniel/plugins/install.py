"""Installing and removing distributions with the tool that manages the running environment."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def manager_command(action: str, arguments: Sequence[str]) -> list[str] | None:
    """Return the command of another tool than pip that has to be used here; ``None`` where pip of this Python is there.

    Args:
        action: ``"install"`` or ``"uninstall"``.
        arguments: distributions and options, as for pip.
    """
    home = Path(sys.prefix)
    if (home / "uv-receipt.toml").is_file():
        if action == "install":
            return ["uv", "tool", "install", "spaniel", *(part for name in arguments for part in ("--with", name))]
        return ["uv", "tool", "install", "--reinstall", "spaniel"]
    if (home / "pipx_metadata.json").is_file():
        return ["pipx", "inject" if action == "install" else "uninject", home.name, *arguments]
    if importlib.util.find_spec("pip") is None:
        return ["uv", "pip", action, "--python", sys.executable, *arguments]
    return None


def run_pip(action: str, arguments: Sequence[str]) -> int:
    """Run pip of the running Python and return its exit code."""
    return subprocess.call([sys.executable, "-m", "pip", action, *arguments])


def shown(command: Sequence[str]) -> str:
    """Return a command as one would type it."""
    return shlex.join(command)

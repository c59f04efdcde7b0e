"""The command line in tests: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Result(NamedTuple):
    """What a command returned and wrote."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.stdout)


class Cli:
    """Runs ``spaniel`` with a store and a configuration folder of its own.

    Args:
        home: the folder that holds both.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {"SPANIEL_STORE": str(home / "store"), "SPANIEL_CONFIG": str(home / "config")}

    def __call__(self, *arguments: str, input: str | None = None) -> Result:
        """Run a command in this process.

        Raises:
            Exception: whatever the command raises that is none of Spaniel's three errors.
        """
        from click.testing import CliRunner

        from spaniel.cli import main

        ran = CliRunner(env=self.env).invoke(main, list(arguments), input=input)
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Result(ran.exit_code, ran.stdout, ran.stderr)

    def subprocess(
        self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
    ) -> Result:
        """Run a command in a process of its own; ``env`` is added to the environment.

        Raises:
            subprocess.TimeoutExpired: it took longer than ``timeout`` seconds.
        """
        command = [sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')", *arguments]
        environment = {**os.environ, **self.env, **(env or {})}
        ran = subprocess.run(
            command, env=environment, cwd=cwd, timeout=timeout, capture_output=True, encoding="utf-8", check=False
        )
        return Result(ran.returncode, ran.stdout, ran.stderr)

"""The command ``spaniel``."""

from spaniel.cli.main import main

__all__ = ["main"]

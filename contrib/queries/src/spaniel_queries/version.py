"""The version of this distribution, part of what its artifacts are named by."""

from importlib.metadata import version

VERSION = version("spaniel-queries")

"""The fixtures, as a plugin of pytest; importing it loads nothing of Spaniel but itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spaniel.data import Corpus
    from spaniel.plugins import Registry
    from spaniel.testing.cli import Cli


@pytest.fixture
def isolated_plugins() -> Registry:
    """A registry with the core's own components alone; register what the test needs."""
    from spaniel.plugins import load_registry

    return load_registry(discover=False)


@pytest.fixture
def run_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, with a store and a configuration folder of its own, also for what else the test does.

    ``run_cli("components", "--json").json`` runs in this process, ``run_cli.subprocess(...)`` in another.
    """
    from spaniel.testing.cli import Cli

    cli = Cli(tmp_path / "spaniel")
    for variable, folder in cli.env.items():
        monkeypatch.setenv(variable, folder)
    return cli


@pytest.fixture
def tiny_corpus() -> Corpus:
    """A corpus of 24 short documents on six topics."""
    from spaniel.testing.collections import collection

    return collection().corpus()


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A folder in BEIR layout with 24 documents, six queries and judgments of the split ``test``."""
    from spaniel.testing.collections import collection

    return collection().write(tmp_path / "tiny")


@pytest.fixture
def tiny_datasets(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a variant of the small collection (see ``spaniel.testing.VARIANTS``) and returns its folder."""
    from spaniel.testing.collections import collection

    return lambda variant: collection(variant).write(tmp_path / variant)

"""Tiny models of every family, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context
from spaniel_neural.loading import Transformer, load_transformer
from spaniel_neural.testing import write_model

TEXTS = (
    "the dog runs",
    "",
    "a cat sleeps in the winter on the river of salt water and bread and the star shines",
    "ship",
    "the ship sails north in winter , and the dog sleeps",
    "water of the river , zebra !",
    "star star star star star star star",
)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Texts of unlike lengths, one of them empty."""
    return list(TEXTS)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives the folder of a tiny model by family and task; read only."""
    made: dict[tuple[str, str], Path] = {}

    def get(family: str = "bert", task: Any = "encoder") -> Path:
        if (family, task) not in made:
            place = tmp_path_factory.mktemp(f"{family}-{task}")
            made[family, task] = write_model(place, family, task, texts=TEXTS)
        return made[family, task]

    return get


@pytest.fixture(scope="session")
def loaded(folder: Callable[..., Path]) -> Callable[..., Transformer]:
    """Loads a fresh tiny model by family and task."""

    def get(family: str = "bert", task: Any = "encoder", **options: Any) -> Transformer:
        return load_transformer(folder(family, task), task, device="cpu", **options)

    return get


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A session on the CPU with a store of its own."""
    return Context(tmp_path / "store", device="cpu", offline=True)

"""Tiny models, and a collection in which the words that decide are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from spaniel import Context, Corpus, Document, Stage

QUERY = "which dog retrieves game"
TEXTS = {
    "a": "a dog sleeps in the warm house all day",
    "b": "the ship sails along the coast in winter",
    "c": "the keeper said that a spaniel retrieves game from water",
    "d": "bread is baked from flour and salt",
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return folders of a random encoder and a random cross-encoder."""
    from spaniel_neural.testing import write_model

    root = tmp_path_factory.mktemp("models")
    write_model(root / "encoder", "bert", texts=[QUERY, *TEXTS.values()], seed=3)
    write_model(root / "cross", "bert", "sequence-classification", texts=[QUERY, *TEXTS.values()], seed=4, num_labels=1)
    write_model(root / "masked", "bert", "masked-lm", texts=[QUERY, *TEXTS.values()], seed=5)
    return root


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"), device="cpu", offline=True)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus.from_documents(Document(name, "", text) for name, text in TEXTS.items())


@pytest.fixture(scope="session")
def stages(folder: Path) -> dict[str, Stage]:
    """Return stages whose scores a tiny model gives."""
    return {
        "dense": Stage("dense", encoder=Stage("sentence-transformer", model=str(folder / "encoder"))),
        "sparse": Stage("sparse", encoder=Stage("splade", model=str(folder / "masked"))),
        "cross": Stage("cross-encoder", model=str(folder / "cross"), cache=False),
        "maxsim": Stage("maxsim", encoder=Stage("token-encoder", model=str(folder / "encoder"))),
    }

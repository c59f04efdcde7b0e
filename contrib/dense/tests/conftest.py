"""Tiny models, fresh and random, in the layouts that real ones come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context

WORDS = "a the dog cat ship bread star river sleeps sails shines runs in on of north winter water salt query passage :"
HIDDEN = 32


def write_transformer(folder: Path, seed: int = 0, dtype: str = "float32") -> Path:
    """Write a random BERT of two layers with a tokenizer of whole words, in the layout of transformers."""
    import torch
    from spaniel_neural.testing import write_model

    return write_model(
        folder,
        texts=[WORDS],
        seed=seed,
        dtype=getattr(torch, dtype),
        max_length=40,
        max_position_embeddings=48,
        initializer_range=0.5,
    )


def write_modules(
    folder: Path,
    pooling: dict[str, Any] | None = None,
    normalize: bool = True,
    settings: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Add to a transformer's folder what sentence-transformers writes."""
    names = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (name, path) in enumerate(zip(names, paths, strict=False))
    ]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": HIDDEN, **(pooling or {"pooling_mode_mean_tokens": True})}
    for name, content in (
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", settings or {"max_seq_length": 16, "do_lower_case": False}),
        ("config_sentence_transformers.json", config or {}),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of transformers; read only."""
    return write_transformer(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def sentence_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder in the layout of sentence-transformers, with the arguments of :func:`write_modules`."""

    def make(**arguments: Any) -> Path:
        return write_modules(write_transformer(tmp_path / "model"), **arguments)

    return make


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A session on the CPU with a store of its own."""
    return Context(tmp_path / "store", device="cpu", offline=True)

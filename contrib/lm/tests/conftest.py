"""Tiny models, fresh and random, with and without a chat template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spaniel import Context, Stage

WORDS = (
    "a the dog cat ship bread star river sleeps sails shines runs in on of north winter water salt yes no good bad "
    "Order passages below by how well they answer query best first Name every passage once its number brackets Query "
    "Write only order all as user assistant system : . , [ ] > 1 2 3 4 5 6 7 8 9 10 11 12"
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


@pytest.fixture(scope="session")
def lm_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the folder of a tiny model, made once: ``llama``, ``chat`` (a Llama with a template), ``t5``, ``bart``, ``bert``."""
    pytest.importorskip("spaniel_neural.testing")
    from spaniel_neural.testing import write_model

    made: dict[str, Path] = {}
    kinds: dict[str, tuple[str, Any]] = {
        "llama": ("llama", "causal-lm"),
        "chat": ("llama", "causal-lm"),
        "t5": ("t5", "seq2seq"),
        "bart": ("bart", "seq2seq"),
        "bert": ("bert", "masked-lm"),
    }

    def make(name: str) -> Path:
        if name not in made:
            family, task = kinds[name]
            folder = tmp_path_factory.mktemp(name) / name
            more = {} if family == "t5" else {"max_position_embeddings": 1024}
            write_model(folder, family, task, texts=[WORDS], **more)
            if name == "chat":
                (folder / "chat_template.jinja").write_text(TEMPLATE)
            made[name] = folder
        return made[name]

    return make


@pytest.fixture
def lm_context(tmp_path: Path) -> Context:
    """A session on the CPU with a store of its own."""
    return Context(tmp_path / "store", device="cpu", offline=True)


@pytest.fixture
def lm_model(lm_models: Callable[[str], Path], lm_context: Context) -> Callable[..., Any]:
    """Makes a tiny model's component, by the name of its folder."""

    def make(name: str = "llama", context: Context | None = None, **options: Any) -> Any:
        stage = Stage("transformers", model=str(lm_models(name)), **options)
        return (context or lm_context).create("language_model", stage)

    return make

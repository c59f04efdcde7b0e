"""What is assigned over a method of a base class is named."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from spaniel import Component, Context, PluginError, hookimpl
from spaniel.plugins import load_registry
from spaniel.rerank import PointwiseReranker


class Fine(PointwiseReranker):
    """Overrides a method by a method, and has attributes of its own."""

    window = 7

    def __init__(self, config: Any, context: Context) -> None:
        super().__init__(config, context)
        self.share = 0.5
        self.fingerprint = lambda: {"weights": "0"}  # type: ignore[method-assign]

    def score(self, queries: Any, texts: Any) -> np.ndarray:
        return np.zeros(len(queries), np.float32)

    @staticmethod
    def weight() -> float:  # type: ignore[override]
        return 0.5


def test_methods_and_attributes_of_its_own_are_fine(tmp_path: Path) -> None:
    made = Fine(None, Context(tmp_path, registry=load_registry(discover=False)))
    assert made.weight() == made.share == 0.5
    assert made.fingerprint() == {"weights": "0"}


@pytest.mark.parametrize("name", ["weight", "score", "rerank", "score_run", "fingerprint"])
@pytest.mark.parametrize("value", [0.3, None, {}, property(lambda self: 0.3)])
def test_a_value_in_the_place_of_a_method_is_named(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=rf"Odd\.{name} is a method"):
        type("Odd", (Fine,), {name: value})
    context = Context(tmp_path, registry=load_registry(discover=False))
    with pytest.raises(TypeError, match=rf"Fine\.{name} is a method"):
        setattr(Fine(None, context), name, value)


class Assigning(Fine):
    """What an author might write."""

    def __init__(self, config: Any, context: Context) -> None:
        super().__init__(config, context)
        self.weight = 0.3  # type: ignore[method-assign, assignment]


class Plugin:
    """Offers it."""

    @hookimpl
    def rerank(self) -> Any:
        yield Component("assigning", "odd_plugin:Assigning", "assigns over a method")


def test_whoever_uses_the_plugin_reads_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("odd_plugin")
    module.Assigning = Assigning
    monkeypatch.setitem(sys.modules, "odd_plugin", module)
    registry = load_registry(discover=False)
    registry.register(Plugin(), "odd-plugin", "spaniel-odd")
    with pytest.raises(PluginError, match=r"Assigning\.weight is a method, and 0\.3 is assigned over it") as caught:
        Context(tmp_path, registry=registry).create("rerank", "assigning")
    assert "spaniel-odd" in str(caught.value)

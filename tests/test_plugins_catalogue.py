"""The catalogue of the project's components says what the distributions in the tree say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from spaniel.plugins import load_registry

TOOL = Path(__file__).parent.parent / "tools" / "catalogue.py"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalogue_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_catalogue_is_up_to_date(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANIEL_CONFIG", str(tmp_path))
    registry = load_registry()
    missing = tool.missing(registry)
    if missing:
        pytest.skip(f"not installed or not loading: {', '.join(sorted(missing))}")
    assert tool.FILE.read_text(encoding="utf-8") == tool.catalogue(registry), "run tools/catalogue.py"

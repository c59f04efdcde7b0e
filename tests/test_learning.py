"""What models have learned from is told wherever their pipelines are measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from spaniel import ArtifactError, Context, Queries
from spaniel.learning import LESSONS, Lesson, learned_from, read_lessons, write_lessons
from spaniel.plugins import load_registry
from spaniel.plugins.discovery import file_plugin
from spaniel.testing import Cli, collection

TAUGHT = '''
from pydantic import Field
from spaniel import Component, Config, hookimpl
from spaniel.learning import Lesson

class Options(Config):
    """Options."""
    model: str = Field("none", description="a model folder")
    learned: tuple[str, ...] = Field((), description="texts of queries")

class Taught:
    def __init__(self, config, context):
        self.config = config
    def lessons(self):
        return [Lesson.of("a source", self.config.learned)] if self.config.learned else []
    def rerank(self, queries, run, corpus):
        return run

@hookimpl
def rerank():
    yield Component("taught", config="taught:Options", factory="taught:Taught", summary="as taught")
'''
TEXTS = collection().queries.texts


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "taught.py"
    path.write_text(TAUGHT)
    return str(path)


def test_lessons_of_a_folder_and_of_a_component_are_found(plugin: str, tmp_path: Path) -> None:
    registry = load_registry(warn=False)
    registry.register_file(file_plugin(plugin))
    context = Context(tmp_path / "store", registry=registry)
    queries = Queries.from_lists(["a", "b", "c"], ["One  two", "three", "four"])
    folder = tmp_path / "a model"
    folder.mkdir()
    write_lessons(folder, [Lesson.of("x train", ["THREE", "five"]), Lesson.of("x dev", ["four"], "chosen")])
    found = learned_from(context, context.pipeline(f"bm25 >> taught(learned=['one two'], model='{folder}')"), queries)
    assert [(one.source, one.how, one.queries) for one in found] == [
        ("a source", "trained", (0,)), ("x train", "trained", (1,)), ("x dev", "chosen", (2,))
    ]  # fmt: skip
    assert str(found[2]) == "`taught` was chosen by x dev"
    assert not learned_from(context, context.pipeline("bm25 >> taught"), queries)


def test_run_and_compare_tell_what_was_learned(plugin: str, run_cli: Cli, tmp_path: Path) -> None:
    data = str(collection().write(tmp_path / "tiny"))
    taught = f"bm25 >> taught(learned={json.dumps(TEXTS[:2])})"
    ran = run_cli("--plugin", plugin, "run", taught, data, "--json")
    note = f"note: `taught` was trained on a source, which has 2 of the {len(TEXTS)} queries"
    assert note in ran.stderr
    assert ran.json["learned_from"] == [{"component": "taught", "source": "a source", "how": "trained", "queries": 2}]
    compared = run_cli("--plugin", plugin, "compare", "bm25", taught, data, "--json")
    assert note in compared.stderr
    assert compared.json["learned_from"] == {"bm25": [], taught: ran.json["learned_from"]}
    plain = run_cli("run", "bm25", data, "--json")
    assert "learned" not in plain.stderr
    assert plain.json["learned_from"] == []


def test_damaged_lessons_are_named(tmp_path: Path) -> None:
    write_lessons(tmp_path, [Lesson.of("x", [])])
    assert not (tmp_path / LESSONS).exists(), "there is nothing to tell"
    write_lessons(tmp_path, [Lesson.of("x", ["a", "b", "A "])])
    (read,) = read_lessons(tmp_path)
    assert np.array_equal(read.keys, Lesson.of("x", ["b", "a"]).keys)
    whole = (tmp_path / LESSONS).read_text()
    for damaged in (
        whole[:-9],
        whole.replace("trained", "cooked"),
        whole.replace('"queries": "', '"queries": "A'),
        "[" * 9999,
        "3",
    ):
        (tmp_path / LESSONS).write_text(damaged)
        with pytest.raises(ArtifactError, match="does not say what the model learned from"):
            read_lessons(tmp_path)

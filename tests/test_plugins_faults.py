"""Plugins that are broken in every way we know: each is named with its fault, and nothing else is disturbed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from spaniel.testing import Cli, Result, collection, write_distribution

_HEAD = "from spaniel import Command, Component, Experiment, Kind, hookimpl\n"
_CONFIG = """
from pydantic import Field
from spaniel import Config


class Model(Config):
    k: int = Field(10, description="documents kept")
"""
_METHOD = """
class Reranker:
    def __init__(self, config, context):
        self.config = config

    def rerank(self, queries, run, corpus):
        return run.cut(self.config.k)
"""


class Broken(NamedTuple):
    """A plugin: its entry module, and what must be said of it by list, and by check where that finds out otherwise."""

    init: str
    says: str
    check_says: str = ""
    is_loaded: bool = False
    files: Mapping[str, str] = MappingProxyType({})
    value: str = "{package}"


def _does(body: str, hook: str = "rerank") -> str:
    return f"@hookimpl\ndef {hook}():\n    {body}\n"


def _offers(name: str = "'{slug}'", **arguments: str) -> str:
    factory, config = "'{package}.method:Reranker'", "'{package}.config:Model'"
    given = {"factory": factory, "summary": "'s'", "config": config, **arguments}
    return _does(f"yield Component({name}, {', '.join(f'{key}={value}' for key, value in given.items())})")


def _used(init: str, says: str, check_says: str = "", **files: str) -> Broken:
    """A plugin that loads; what is broken in it shows when it is used."""
    return Broken(init, says, check_says, True, {f"{name}.py": source for name, source in files.items()})


BROKEN = {
    # It cannot be imported.
    "import-error": Broken("import not_there_at_all\n", "No module named 'not_there_at_all'"),
    "syntax-error": Broken("def broken(:\n", "SyntaxError"),
    "exits": Broken("import sys\nsys.exit(4)\n", "calls sys.exit(4)"),
    "base-exception": Broken("class Odd(BaseException): pass\nraise Odd('deep')\n", "Odd: deep"),
    "keyboard": Broken("raise KeyboardInterrupt\n", "import error: KeyboardInterrupt"),
    "endless": Broken("while True: pass\n", "endless import", "longer than"),
    "no-module": Broken("", "does not exist: there is no module not_there", value="not_there.plugin"),
    "no-attribute": Broken("", "no_attribute has no `plugin`", value="{package}:plugin"),
    "too-new": Broken("requires_hookspec = '>=1.0,>=99'\n", "hook-spec version out of range"),
    "bad-version": Broken("requires_hookspec = 'newest'\n", "has the part 'newest'"),
    # Its hooks fail.
    "hook-error": Broken(_does("raise ValueError('ouch')"), "error inside hook `rerank`"),
    "hook-exit": Broken(_does("raise SystemExit(3)"), "hook `rerank` calls sys.exit(3)"),
    "hook-keyboard": Broken(_does("raise KeyboardInterrupt"), "error inside hook `rerank`: KeyboardInterrupt"),
    "hook-endless": Broken(_does("while True: pass"), "endless hook `rerank`", "longer than"),
    "unknown-hook": Broken(_does("yield", "rerankk"), "hook `rerankk` is not known; did you mean `rerank`?"),
    "wrong-arguments": Broken("@hookimpl\ndef rerank(config):\n    yield\n", "config"),
    # They yield what they must not.
    "no-component": Broken(_does("yield 'bm25'"), "yields 'bm25', which is no Component"),
    "no-command": Broken(_does("yield 'train'", "commands"), "yields 'train', which is no Command"),
    "no-experiment": Broken(_does("yield 'check'", "experiments"), "yields 'check', which is no Experiment"),
    "no-kind": Broken(_does("yield 'analyzer'", "kinds"), "yields 'analyzer', which is no Kind"),
    "bad-name": Broken(_offers("'Bad_Name'"), "badly formed name 'Bad_Name'"),
    "bad-path": Broken(_offers(factory="'{package}.method.Reranker'"), "wrong factory"),
    "bad-config-path": Broken(_offers(config="'{package}'"), "missing or broken config model"),
    "bad-role": Broken(_offers(role="'space'"), "has the role 'space'"),
    "bad-takes": Broken(_offers(takes="'corpus'"), "takes='corpus'"),
    "bad-follows": Broken(_does("yield Component('x', 'a:X', 's', follows='may')", "encode"), "encode is no stage"),
    "kind-without-spec": Broken(
        _does("yield Kind('odd', 's', {'': 'a.b:C'}, hookspecs='json')", "kinds"), "json specifies no hook `odd`"
    ),
    # Names that are taken.
    "twice": Broken(_offers() + "    yield Component('{slug}', 'a:X', 's')\n", "declares rerank `twice` twice"),
    "zz-duplicate": Broken(
        _offers("'contested'"), "`contested` belongs to aa-owner, and zz-duplicate declares it, too"
    ),
    "a-duplicate": Broken(_offers("'cut'"), "`cut` belongs to spaniel, and a-duplicate declares it, too"),
    # What it names is not there, or is not what it should be.
    "missing-config": _used(_offers(config="'{package}.no:M'"), "missing_config.no"),
    "broken-config": _used(_offers(), "ValueError: no model today", config="raise ValueError('no model today')\n"),
    "no-config-class": _used(_offers(), "no subclass of spaniel.Config", config="class Model: pass\n"),
    "heavy-config": _used(_offers(), "config module imports numpy", config="import numpy\n" + _CONFIG),
    "missing-factory": _used(_offers(factory="'{package}.no:X'"), "no module missing_factory.no", "missing_factory.no"),
    "misnamed-factory": _used(_offers(factory="'{package}.method:X'"), "has no `X`", "has no attribute 'X'"),
    "constant-factory": _used(_offers(), "cannot be called", method="Reranker = 3\n"),
    "factory-syntax": _used(_offers(), "syntax error in method.py, line 1", "SyntaxError", method="class Reranker(\n"),
    "factory-without-method": _used(_offers(), "a class without", method="class Reranker: pass\n"),
    "missing-command": _used(
        _does("yield Command('odd-command', '{package}.cli:odd', 's')", "commands"), "missing_command.cli"
    ),
    "missing-experiment": _used(
        _does("yield Experiment('odd', '{package}.method:run', 'c', 'p')", "experiments"), "has no `run`", "'run'"
    ),
    "shadowed": _used(_offers(), "module `shadowed.rerank` has a hook's name", rerank="X = 1\n"),
    "noisy": _used("print('chatter-at-import')\n" + _offers(factory="'{package}.no:X'"), "wrong factory", "noisy.no"),
}

GOOD = {
    "good": _offers(),
    "aa-owner": _offers("'contested'"),
    "optional": "@hookimpl(optionalhook=True)\ndef not_a_kind():\n    yield\n",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    site = tmp_path_factory.mktemp("site")
    for slug, init in GOOD.items():
        _write(site, slug, init, {}, "{package}")
    for slug, broken in BROKEN.items():
        _write(site, slug, broken.init, broken.files, broken.value)
    return {"PYTHONPATH": str(site), "SPANIEL_IMPORT_LIMIT": "0.5"}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Any:
    home = Cli(tmp_path_factory.mktemp("home"))
    return lambda *arguments, **env: home.subprocess(*arguments, env={**environment, **env})


@pytest.fixture(scope="module")
def listed(cli: Any) -> dict[str, Any]:
    return {plugin["distribution"]: plugin for plugin in cli("plugins", "list", "--json").json}


@pytest.fixture(scope="module")
def checked(cli: Any) -> dict[str, Any]:
    ran = cli("plugins", "check", *BROKEN, *GOOD, "--time-limit", "8", "--json")
    assert ran.exit_code == 1
    return {plugin["distribution"]: plugin for plugin in ran.json}


@pytest.fixture(scope="module")
def components(cli: Any) -> Result:
    result: Result = cli("components", "--json")
    return result


def _write(site: Path, slug: str, init: str, files: Mapping[str, str], value: str) -> None:
    package = slug.replace("-", "_")

    def fill(text: str) -> str:
        return text.replace("{package}", package).replace("{slug}", slug)

    modules = {"__init__.py": _HEAD + init, "config.py": _CONFIG, "method.py": _METHOD, **files}
    write_distribution(
        site, slug, {f"{package}/{name}": fill(text) for name, text in modules.items()}, {slug: fill(value)}
    )


def _reasons(plugin: dict[str, Any]) -> str:
    return "\n".join(fault["reason"] for fault in plugin["faults"])


@pytest.mark.parametrize("slug", BROKEN)
def test_list_names_the_fault(listed: dict[str, Any], slug: str) -> None:
    assert BROKEN[slug].says in _reasons(listed[slug])
    assert listed[slug]["state"] == ("faulty" if BROKEN[slug].is_loaded else "failed")
    assert bool(listed[slug]["components"]) <= BROKEN[slug].is_loaded


@pytest.mark.parametrize("slug", BROKEN)
def test_check_names_the_fault(checked: dict[str, Any], slug: str) -> None:
    assert (BROKEN[slug].check_says or BROKEN[slug].says) in _reasons(checked[slug])
    assert not checked[slug]["ok"]


@pytest.mark.parametrize("slug", BROKEN)
def test_a_warning_names_what_is_left_out_once(components: Result, slug: str) -> None:
    lines = [line for line in components.stderr.splitlines() if line.startswith(f"warning: plugin `{slug}` of {slug} ")]
    if BROKEN[slug].is_loaded:
        assert not lines
    else:
        (line,) = lines
        assert BROKEN[slug].says in line
        assert f"spaniel plugins show {slug}" in line
        assert f"spaniel plugins disable {slug}" in line


def test_the_others_work(listed: dict[str, Any], checked: dict[str, Any], components: Result) -> None:
    names = {(c["kind"], c["name"], c["distribution"]) for c in components.json}
    assert components.exit_code == 0
    assert {("rerank", "good", "good"), ("rerank", "contested", "aa-owner"), ("rerank", "cut", "spaniel")} <= names
    for slug in GOOD:
        assert listed[slug]["state"] == "ok"
        assert checked[slug]["ok"], checked[slug]


def test_what_failed_leaves_nothing(components: Result) -> None:
    loaded = {slug for slug, broken in BROKEN.items() if broken.is_loaded}
    offering = {c["distribution"] for c in components.json}
    assert offering & BROKEN.keys() <= loaded


def test_noise_at_import_stays_out_of_json(components: Result) -> None:
    assert "chatter-at-import" in components.stderr
    assert "chatter-at-import" not in components.stdout


@pytest.mark.parametrize("slug", ["hook-error", "zz-duplicate", "broken-config", "factory-syntax"])
def test_show_has_the_fault(cli: Any, slug: str) -> None:
    ran = cli("plugins", "show", slug, SPANIEL_PLUGINS=f"{slug},aa-owner")
    assert ran.exit_code == 0
    assert BROKEN[slug].says in ran.stdout
    if slug in ("hook-error", "broken-config"):
        assert "Traceback" in ran.stdout
        assert f"{slug.replace('-', '_')}/" in ran.stdout
        assert "<frozen importlib" not in ran.stdout


def test_strict_makes_a_fault_an_error(cli: Any) -> None:
    ran = cli("components", SPANIEL_STRICT="1", SPANIEL_PLUGINS="import-error,good")
    assert ran.exit_code == 1
    assert "import-error" in ran.stderr
    assert "not_there_at_all" in ran.stderr
    assert not ran.stdout


def test_strict_still_lists(cli: Any) -> None:
    ran = cli("plugins", "list", "--json", SPANIEL_STRICT="1", SPANIEL_PLUGINS="import-error")
    assert "not_there_at_all" in ran.stdout


def test_who_asks_for_it_gets_the_cause(cli: Any, tmp_path: Path) -> None:
    ran = cli("plan", "hook-error", str(tmp_path), SPANIEL_PLUGINS="hook-error")
    assert ran.exit_code == 1
    assert "ouch" in ran.stderr


def test_a_plugin_that_ends_the_process_is_named_by_check(tmp_path: Path) -> None:
    write_distribution(tmp_path, "dies", {"dies/__init__.py": "import os\nos._exit(7)\n"}, {"dies": "dies"})
    ran = Cli(tmp_path).subprocess("plugins", "check", "dies", env={"PYTHONPATH": str(tmp_path)})
    assert ran.exit_code == 1
    assert "exit code 7 while importing dies" in ran.stdout


def test_an_observer_that_fails_is_named_and_told_no_more(tmp_path: Path) -> None:
    watches = "from spaniel import hookimpl\n\n\n@hookimpl\ndef stage_started(stage):\n    raise ValueError('boom')\n"
    write_distribution(tmp_path, "watches", {"watches/__init__.py": watches}, {"watches": "watches"})
    data = collection().write(tmp_path / "data")
    environment = {"PYTHONPATH": str(tmp_path), "SPANIEL_PLUGINS": "watches,bm25,text"}
    ran = Cli(tmp_path / "home").subprocess("search", "bm25", str(data), "dog", env=environment)
    assert ran.exit_code == 0
    assert "dog-0" in ran.stdout
    assert ran.stderr.count("boom") == 1
    assert "observer `watches` of watches is told no more: error inside hook `stage_started`" in ran.stderr
    strict = Cli(tmp_path / "home").subprocess(
        "search", "bm25", str(data), "dog", env={**environment, "SPANIEL_STRICT": "1"}
    )
    assert strict.exit_code == 1
    assert "Error: watches" in strict.stderr
    checked = Cli(tmp_path / "home").subprocess("plugins", "check", "watches", env=environment)
    assert checked.exit_code == 1
    assert "stage_started: hook `stage_started`, told of a stage, failed: ValueError: boom" in checked.stdout


def test_a_malformed_entry_points_file_is_a_fault_of_its_distribution(tmp_path: Path) -> None:
    write_distribution(tmp_path, "scribbled", {}, {"scribbled": "x"})
    (tmp_path / "scribbled-1.0.dist-info" / "entry_points.txt").write_text("[spaniel]\nno equals sign\n")
    ran = Cli(tmp_path).subprocess("plugins", "list", env={"PYTHONPATH": str(tmp_path)})
    assert ran.exit_code == 0
    assert "entry_points.txt is malformed" in ran.stdout

"""`spaniel plugins` and `spaniel components`, as they are typed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from spaniel import ArtifactError
from spaniel.plugins import install, settings
from spaniel.testing import Cli, write_distribution

HEAVY = ("torch", "transformers", "numpy", "pydantic", "json", "tqdm", "yaml")


def _write_zoo(folder: Path) -> None:
    source = (
        "from spaniel import Component, hookimpl\n\n\n"
        "@hookimpl\ndef rerank():\n"
        "    yield Component('adder', 'zoo_plugin:Adder', 'adds up', paper='Somebody 2020', options={})\n\n\n"
        "class Adder:\n    def rerank(self, queries, run, corpus):\n        return run\n"
    )
    write_distribution(folder, "spaniel-zoo", {"zoo_plugin.py": source}, {"zoo": "zoo_plugin"}, "0.3")


@pytest.fixture
def cli(tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    _write_zoo(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return run_cli


def test_components_as_a_table_and_as_json(cli: Cli) -> None:
    table = cli("components", "rerank").stdout
    assert table.startswith("rerank: queries and a run → a run\n")
    assert any(line.split() == ["adder", "spaniel-zoo", "adds", "up"] for line in table.splitlines())
    (adder,) = [c for c in cli("components", "--json").json if c["name"] == "adder"]
    assert adder["full_name"] == "spaniel-zoo/adder"
    assert adder["version"] == "0.3"
    assert adder["kind"] == "rerank"
    assert adder["paper"] == "Somebody 2020"
    assert adder["takes"] == []


def test_components_of_an_unknown_kind(cli: Cli) -> None:
    ran = cli("components", "rerankers")
    assert ran.exit_code == 2
    assert "did you mean rerank?" in ran.stderr


def test_list_and_show(cli: Cli) -> None:
    lines = [line.split() for line in cli("plugins", "list").stdout.splitlines()]
    assert lines[0] == ["plugin", "distribution", "version", "state", "offers"]
    assert ["zoo", "spaniel-zoo", "0.3", "ok", "1", "component"] in lines
    for name in ("zoo", "spaniel-zoo", "Spaniel_Zoo"):
        (shown,) = cli("plugins", "show", name, "--json").json
        assert shown["components"] == ["rerank/adder"]
        assert shown["faults"] == []
    assert "rerank/adder  adds up" in cli("plugins", "show", "zoo").stdout
    ran = cli("plugins", "show", "zo")
    assert ran.exit_code == 2
    assert "did you mean zoo?" in ran.stderr


def test_check(tmp_path: Path, cli: Cli) -> None:
    env = {"PYTHONPATH": str(tmp_path / "site")}
    ran = cli.subprocess("plugins", "check", "zoo", "--json", env=env)
    assert ran.exit_code == 0
    (checked,) = ran.json
    assert checked["ok"]
    assert checked["components"] == ["rerank/adder"]
    assert 0 < checked["seconds"] < 5
    assert cli("plugins", "check", "zooo").exit_code == 2


def test_check_names_what_an_entry_module_imports(tmp_path: Path, run_cli: Cli) -> None:
    write_distribution(tmp_path, "greedy", {"greedy.py": "import numpy, pydantic\n"}, {"greedy": "greedy"})
    ran = run_cli.subprocess("plugins", "check", "greedy", env={"PYTHONPATH": str(tmp_path)})
    assert ran.exit_code == 1
    assert "its entry module imports numpy, pydantic" in ran.stdout


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("class Model(Config):\n    k: int = 3\n", "k lack a description"),
        ("class Model(Config):\n    model_config = {'frozen': False}\n", "must stay frozen"),
        ("class Model(Config):\n    model_config = {'extra': 'ignore'}\n", "forbid unknown options"),
        ("class Model(Config):\n    k: int = Field('x', description='d')\n", "k"),
        (
            "class Model(Config):\n    k: int = Field(3, description='d')\n"
            "    @field_validator('k')\n    @classmethod\n    def _grow(cls, k):\n        return k + 1\n",
            "does not survive JSON",
        ),
        ("class Model(Config):\n    j: int = Field(3, description='d')\n", "sets k beforehand"),
    ],
)
def test_check_holds_config_models_to_their_contract(tmp_path: Path, run_cli: Cli, config: str, says: str) -> None:
    head = "from pydantic import Field, field_validator\nfrom spaniel import Config\n\n\n"
    preset = ", options={'k': 3}" if "beforehand" in says else ""
    offers = (
        "from spaniel import Component, hookimpl\n\n\n@hookimpl\ndef rerank():\n"
        f"    yield Component('odd', 'odd_plugin.method:make', '', config='odd_plugin.config:Model'{preset})\n"
    )
    modules = {
        "odd_plugin/__init__.py": offers,
        "odd_plugin/config.py": head + config,
        "odd_plugin/method.py": "def make(config, context): ...\n",
    }
    write_distribution(tmp_path, "odd", modules, {"odd": "odd_plugin"})
    (checked,) = run_cli.subprocess("plugins", "check", "odd", "--json", env={"PYTHONPATH": str(tmp_path)}).json
    assert says in " ".join(fault["reason"] for fault in checked["faults"])


def test_check_notes_what_needs_an_extra(tmp_path: Path, run_cli: Cli) -> None:
    offers = (
        "from spaniel import Component, hookimpl\n\n\n@hookimpl\ndef rerank():\n"
        "    yield Component('more', 'needs_more.method:Adder', '', extra='all')\n"
    )
    modules = {
        "needs_more/__init__.py": offers,
        "needs_more/method.py": "import not_there\n\nAdder = not_there.Adder\n",
    }
    write_distribution(tmp_path, "needs-more", modules, {"needs-more": "needs_more"})
    ran = run_cli.subprocess("plugins", "check", "needs-more", env={"PYTHONPATH": str(tmp_path)})
    assert ran.exit_code == 0
    assert 'pip install "needs-more[all]"' in ran.stdout


def test_disable_and_enable(cli: Cli) -> None:
    def names() -> set[str]:
        return {component["name"] for component in cli("components", "--json").json}

    assert "adder" in names()
    assert cli("plugins", "disable", "spaniel-zoo").exit_code == 0
    assert settings.disabled() == {"spaniel-zoo"}
    assert "adder" not in names()
    (shown,) = cli("plugins", "show", "zoo", "--json").json
    assert shown["state"] == "disabled"
    assert cli("plugins", "enable", "zoo").exit_code == 0
    assert settings.disabled() == set()
    assert "adder" in names()


def test_what_cannot_be_disabled_or_enabled(cli: Cli) -> None:
    for name in ("core", "spaniel"):
        ran = cli("plugins", "disable", name)
        assert ran.exit_code == 2
        assert "cannot be disabled" in ran.stderr
    assert cli("plugins", "disable", "zooo").exit_code == 2
    assert cli("plugins", "enable", "zooo").exit_code == 2
    settings.save_disabled({"gone"})
    assert cli("plugins", "enable", "gone").exit_code == 0
    assert settings.disabled() == set()


def test_a_plugin_that_hangs_can_still_be_disabled(tmp_path: Path, run_cli: Cli) -> None:
    write_distribution(tmp_path, "hangs", {"hangs.py": "while True: pass\n"}, {"hangs": "hangs"})
    env = {"PYTHONPATH": str(tmp_path), "SPANIEL_IMPORT_LIMIT": "60"}
    assert run_cli.subprocess("plugins", "disable", "hangs", env=env, timeout=20).exit_code == 0
    assert run_cli.subprocess("components", env=env, timeout=20).exit_code == 0


def test_a_damaged_list_names_its_file(cli: Cli) -> None:
    settings.save_disabled({"zoo"})
    (settings.config_dir() / "disabled").write_bytes(b"\xff\xfe")
    ran = cli("components")
    assert ran.exit_code == 1
    assert str(settings.config_dir() / "disabled") in ran.stderr


def test_install_passes_arguments_and_exit_codes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def call(command: list[str]) -> int:
        calls.append(command)
        return 7

    monkeypatch.setattr(install.subprocess, "call", call)
    monkeypatch.setattr(install, "manager_command", lambda action, arguments: None)
    assert cli("plugins", "install", "--upgrade", "spaniel-zoo").exit_code == 7
    assert cli("plugins", "uninstall", "-y", "zoo").exit_code == 7
    pip = [sys.executable, "-m", "pip"]
    assert calls == [[*pip, "install", "--upgrade", "spaniel-zoo"], [*pip, "uninstall", "-y", "spaniel-zoo"]]
    assert cli("plugins", "uninstall", "core").exit_code == 2
    assert "no plugin is called 'other'" in cli("plugins", "uninstall", "-y", "other").stderr
    assert "nobody is there to answer: add -y" in cli("plugins", "uninstall", "zoo").stderr


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("uv-receipt.toml", "uv tool install spaniel --with zoo"),
        ("pipx_metadata.json", "pipx inject {home} zoo"),
        ("", "uv pip install --python {python} zoo"),
    ],
)
def test_install_names_the_command_of_the_tool_in_use(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, command: str
) -> None:
    home = tmp_path / "venv"
    home.mkdir()
    if mark:
        (home / mark).touch()
    monkeypatch.setattr(sys, "prefix", str(home))
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)
    ran = cli("plugins", "install", "zoo")
    assert ran.exit_code == 2
    assert command.format(home=home.name, python=sys.executable) in ran.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("components",), ("components", "rerank")])
def test_starting_up_loads_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    _write_zoo(tmp_path)
    script = (
        "import sys\nfrom spaniel.cli import main\n"
        f"try: main({list(arguments)!r})\nfinally: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    ran = _python(tmp_path, script)
    assert "adder" in ran.stdout or arguments == ("--help",)
    assert ran.stderr.splitlines()[-1] == "[]"


def _python(folder: Path, script: str) -> Any:
    import os
    import subprocess

    env = {**os.environ, "PYTHONPATH": str(folder), "SPANIEL_CONFIG": str(folder / "config")}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, encoding="utf-8", check=True)


def test_the_kit_is_light_for_pytest(tmp_path: Path) -> None:
    script = f"import sys, spaniel.testing.plugin\nprint([m for m in {HEAVY[:4]!r} if m in sys.modules])\n"
    assert _python(tmp_path, script).stdout.strip() == "[]"


def test_one_file_plugins_on_the_command_line(tmp_path: Path, run_cli: Cli) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from spaniel import Component, hookimpl\n\n\n"
        "@hookimpl\ndef rerank():\n    yield Component('own', 'mine:make', 'my own')\n\n\n"
        "def make(config, context):\n    return None\n"
    )
    listed = run_cli.subprocess("--plugin", str(file), "components", "--json").json
    assert "mine/own" in [component["full_name"] for component in listed]
    checked = run_cli.subprocess("--plugin", str(file), "plugins", "check", "mine", "--json")
    assert checked.exit_code == 0, checked
    assert checked.json[0]["components"] == ["rerank/own"]
    file.write_text("1 / 0\n")
    ran = run_cli.subprocess("--plugin", str(file), "components")
    assert ran.exit_code == 1
    assert "ZeroDivisionError" in ran.stderr
    ran = run_cli.subprocess("--plugin", str(tmp_path / "gone.py"), "components")
    assert ran.exit_code == 2


def test_new_needs_a_name_and_a_kind(run_cli: Cli, tmp_path: Path) -> None:
    ran = run_cli("plugins", "new", "Word_Overlap", "--kind", "rerank", "-o", str(tmp_path))
    assert ran.exit_code == 2
    assert "kebab-case" in ran.stderr
    ran = run_cli("plugins", "new", "overlap", "--kind", "rerankers", "-o", str(tmp_path))
    assert ran.exit_code == 2
    assert "rerank" in ran.stderr


def test_manager_command_is_none_where_pip_is() -> None:
    assert install.manager_command("install", ["zoo"]) is None


def test_settings_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPANIEL_CONFIG", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match="SPANIEL_CONFIG names another folder"):
        settings.save_disabled({"zoo"})

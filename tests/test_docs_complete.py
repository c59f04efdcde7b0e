"""Nothing that users or authors can name goes undocumented."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
from pathlib import Path

import click
import pytest
from spaniel import hookspecs
from spaniel.cli.main import COMMANDS, main
from spaniel.plugins import Registry, load_registry

ROOT = Path(__file__).parent.parent
HOOKS = [name for name, f in inspect.getmembers(hookspecs, inspect.isfunction) if hasattr(f, "spaniel_spec")]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def pages(registry: Registry) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "tools" / "docs_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[str, str] = module.pages(registry)
    return made


def test_every_plugin_has_a_page_with_what_its_readme_measured() -> None:
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "tools" / "docs_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plugins = [path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    assert plugins
    for plugin in plugins:
        assert module.MEASURED in (ROOT / "docs" / "plugins" / f"{plugin.name}.md").read_text(encoding="utf-8")
        assert module.section((plugin / "README.md").read_text(encoding="utf-8"), "Measured")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str, pages: dict[str, str]) -> None:
    assert inspect.getdoc(getattr(hookspecs, hook))
    assert f"## `{hook}(" in pages["reference/hooks.md"]


def test_every_component_has_a_page_with_every_option(registry: Registry, pages: dict[str, str]) -> None:
    for registered in registry.components():
        page = pages[f"reference/{registered.kind}/{registered.name}.md"]
        assert registered.component.summary in page
        if registered.component.config:
            for name, field in registered.config_model().model_fields.items():
                assert field.description, f"option {name} of {registered.full_name} has no description"
                assert f"| `{name}` |" in page


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in COMMANDS if command is main else command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            found += _commands(child, f"{path} {name}")
    return found


def test_every_command_and_option_has_help(pages: dict[str, str]) -> None:
    for path, command in _commands(main, "spaniel"):
        assert command.help, f"{path} has no help"
        assert f"## `{path}`" in pages["reference/commands.md"]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{option.opts[0]} of {path} has no help"


def test_every_distribution_has_a_readme_with_a_command() -> None:
    for folder in sorted([*ROOT.glob("contrib/*"), *ROOT.glob("plugins/*")]):
        if (folder / "pyproject.toml").is_file():
            text = (folder / "README.md").read_text(encoding="utf-8")
            assert re.search(r"\$ (spaniel|pip|python) ", text), f"{folder.name} has no command in its README"


def test_links_between_pages_lead_somewhere(pages: dict[str, str]) -> None:
    written = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")} | set(pages)
    for path in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", path.read_text(encoding="utf-8")):
            reached = os.path.normpath((path.parent / target).relative_to(ROOT / "docs"))
            assert reached in written, f"{path.name} links to {target}"

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
from spaniel.cli.main import main
from spaniel.plugins import Registry, load_registry
from spaniel.plugins.registered import resolve

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


def test_option_pages_show_bounds_and_plain_words(registry: Registry, pages: dict[str, str]) -> None:
    bounded = 0
    for registered in registry.components():
        if not registered.component.config:
            continue
        page = pages[f"reference/{registered.kind}/{registered.name}.md"]
        for name, field in registered.config_model().model_json_schema()["properties"].items():
            (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
            assert line.count(" | ") == 3, line
            assert "`None`" not in line, line
            for part in [field, *field.get("anyOf", ())]:
                for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "minItems"):
                    if key in part and name != registered.config_model().inputs_field:
                        bounded += 1
                        assert str(part[key]) in line.split(" | ")[1], f"{line} does not show {key}"
    assert bounded > 300


def _commands(registry: Registry) -> list[tuple[str, click.Command]]:
    """Return every command that is installed, whoever offers it."""
    commands = [main, *(resolve(command.callback) for command in registry.commands())]
    names = ["spaniel", *(f"spaniel {command.name}" for command in registry.commands())]
    found = []
    for path, command in zip(names, commands, strict=True):
        found += [(path, command), *(_below(command, path) if command is not main else ())]
    return found


def _below(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = []
    for name, child in command.commands.items() if isinstance(command, click.Group) else ():
        found += [(f"{path} {name}", child), *_below(child, f"{path} {name}")]
    return found


def test_every_command_and_option_has_help(registry: Registry, pages: dict[str, str]) -> None:
    page = pages["reference/commands.md"]
    commands = _commands(registry)
    assert {"spaniel explore", "spaniel walk", "spaniel train", "spaniel faithfulness"} <= {
        path for path, _ in commands
    }
    for path, command in commands:
        assert command.help, f"{path} has no help"
        assert f"## `{path}`" in page
        section = page.partition(f"## `{path}`\n")[2].partition("\n## ")[0]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{option.opts[0]} of {path} has no help"
                assert f"| `{option.opts[0]}`" in section, f"{option.opts[0]} of {path} is not in the reference"
    for block in re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        assert max(map(len, block.splitlines())) <= 120, block


def test_every_distribution_has_a_readme_with_a_command() -> None:
    for folder in sorted([*ROOT.glob("contrib/*"), *ROOT.glob("plugins/*")]):
        if (folder / "pyproject.toml").is_file():
            text = (folder / "README.md").read_text(encoding="utf-8")
            assert re.search(r"\$ (spaniel|pip|python) ", text), f"{folder.name} has no command in its README"


def test_links_between_pages_lead_somewhere(pages: dict[str, str]) -> None:
    """They stay on the site: what leads elsewhere says so by an address of its own."""
    texts = {
        p.relative_to(ROOT / "docs").as_posix(): p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md")
    }
    texts |= pages
    for page, text in texts.items():
        prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            path, _, anchor = target.partition("#")
            if re.match(r"https?://", target):
                continue
            reached = os.path.normpath(Path(page).parent / path) if path else page
            there = reached in texts or (ROOT / "docs" / reached).is_file()
            assert there, f"{page} links to {target}"
            assert not reached.startswith(".."), f"{page} links to {target}, off the site"
            if anchor and reached in texts:
                headings = re.findall(r"^#+ (.*)$", texts[reached], re.MULTILINE)
                known = {
                    re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings
                }
                assert anchor in known, f"{page} links to {target}"

"""Pages of the documentation that are made from the declarations themselves; a hook of mkdocs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from spaniel import hookspecs
from spaniel.cli.main import COMMANDS, main
from spaniel.config import references
from spaniel.plugins import Registered, Registry, load_registry


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to mkdocs' files."""
    from mkdocs.structure.files import File

    for path, text in pages(load_registry()).items():
        files.append(File.generated(config, path, content=text))
    return files


MEASURED = "<!-- the section of this name in the distribution's README -->"
"""Stands in a plugin's page where what was measured is shown, so that figures are written once."""


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in what a plugin's README says was measured."""
    if MEASURED not in markdown:
        return markdown
    readme = Path(config.docs_dir).parent / "plugins" / Path(page.file.src_uri).stem / "README.md"
    return markdown.replace(MEASURED, section(readme.read_text(encoding="utf-8"), "Measured"))


def section(text: str, title: str) -> str:
    """Return what stands below a heading of the second level, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"there is no section {title}")
    return found[1].strip()


def pages(registry: Registry) -> dict[str, str]:
    """Return path → Markdown of every generated page."""
    made = {
        "reference/components.md": components_page(registry),
        "reference/commands.md": commands_page(),
        "reference/hooks.md": hooks_page(registry),
    }
    for registered in registry.components():
        made[_component_path(registered)] = component_page(registered)
    return made


def _component_path(registered: Registered) -> str:
    return f"reference/{registered.kind}/{registered.name}.md"


def components_page(registry: Registry) -> str:
    """List every component of every kind."""
    lines = ["# Components", ""]
    for kind in registry.kinds.values():
        found = registry.components(kind.name)
        lines += [f"## {kind.name}", "", kind.summary + ".", ""]
        if found:
            lines += ["| name | distribution | |", "|---|---|---|"]
            lines += [
                f"| [`{r.name}`]({r.kind}/{r.name}.md) | {r.distribution} | {r.component.summary} |" for r in found
            ]
        else:
            lines += ["No installed distribution offers one."]
        lines.append("")
    return "\n".join(lines)


def component_page(registered: Registered) -> str:
    """Describe one component from its declaration and its config model."""
    component = registered.component
    lines = [f"# {registered.name}", "", component.summary + ".", ""]
    facts = {
        "kind": registered.kind,
        "full name": f"`{registered.full_name}`",
        "version": registered.version,
        "paper": component.paper,
        "role": component.role,
        "takes": ", ".join(component.takes),
        "gives": ", ".join(component.gives),
        "behind `>>`": component.follows,
        "needs the extra": component.extra and f"`{registered.distribution}[{component.extra}]`",
        "set beforehand": ", ".join(f"`{key}={value}`" for key, value in component.options.items()),
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    if not component.config:
        return "\n".join([*lines, "", "It has no options.", ""])
    model = registered.config_model()
    demands = references(model)
    lines += [
        "",
        inspect.cleandoc(model.__doc__ or ""),
        "",
        "## Options",
        "",
        "| option | type | default | |",
        "|---|---|---|---|",
    ]
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        kind = f"component ({' or '.join(demands[name].kinds)})" if name in demands else _type(field, schema)
        default = "required" if "default" not in field else f"`{field['default']}`"
        if name == model.inputs_field:
            kind, default = "pipelines, given by position", "required"
        lines.append(f"| `{name}` | {kind} | {default} | {field.get('description', '')} |".replace("\n", " "))
    return "\n".join([*lines, ""])


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        return " or ".join(_type(option, schema) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), schema)}"
    return str(field.get("type", "any"))


def commands_page() -> str:
    """Describe every command of the core with its options."""
    context = click.Context(main, info_name="spaniel")
    lines = ["# Commands", "", "Plugins add commands of their own; `spaniel --help` lists what is installed.", ""]
    for path, command in _walk(context, main, "spaniel"):
        lines += [f"## `{path}`", "", inspect.cleandoc(command.help or "").replace("\b\n", ""), ""]
        usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=path)))
        lines += ["```text", f"{path} {usage}", "```", ""]
        rows = [o for o in command.params if isinstance(o, click.Option)]
        if rows:
            lines += ["| option | default | |", "|---|---|---|"]
            for option in rows:
                default = f"`{option.default}`" if option.show_default else ""
                names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
                lines.append(f"| {names} | {default} | {option.help or ''} |")
            lines.append("")
    return "\n".join(lines)


def _walk(context: click.Context, command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        names = COMMANDS if command is main else command.list_commands(context)
        for name in names:
            child = command.get_command(context, name)
            assert child is not None
            yield from _walk(context, child, f"{path} {name}")


def hooks_page(registry: Registry) -> str:
    """Describe every hook from its specification."""
    lines = ["# Hooks", "", f"Version of the contract: `{hookspecs.HOOKSPEC_VERSION}`.", ""]
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction):
        if hasattr(function, "spaniel_spec"):
            signature = ", ".join(inspect.signature(function).parameters)
            lines += [f"## `{name}({signature})`", "", inspect.cleandoc(function.__doc__ or ""), ""]
            if name in registry.kinds:
                roles = registry.kinds[name].roles.values()
                lines += ["Promise: " + ", ".join(f"`{path.replace(':', '.')}`" for path in roles), ""]
    return "\n".join(lines)

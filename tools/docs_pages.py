"""Pages of the documentation that are made from the declarations themselves; a hook of mkdocs."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
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
        "reference/commands.md": commands_page(registry),
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
        kind = _type(field, schema)
        if name in demands:
            kind = re.sub(r"\bcomponent\b", f"component ({' or '.join(demands[name].kinds)})", kind, count=1)
        default = "required" if "default" not in field else _plain(field["default"])
        if name == model.inputs_field:
            kind, default = "pipelines, given by position", "required"
        told = field.get("description", "").replace("|", "\\|")
        lines.append(f"| `{name}` | {kind} | {default} | {told} |".replace("\n", " "))
    return "\n".join([*lines, ""])


_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "pattern": "like `{}`",
}
"""Key of a JSON schema → what it says of a value."""
_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "none",
}


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return what an option takes, with its bounds, in plain words."""
    if "$ref" in field:
        field = {**schema["$defs"][field["$ref"].rpartition("/")[2]], **{k: v for k, v in field.items() if k != "$ref"}}
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(_type(option, schema) for option in field.get("anyOf", field.get("oneOf")))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("format") == "spaniel-expression":
        kind = "component"
    elif "prefixItems" in field:
        kind = f"list of {', '.join(_type(item, schema) for item in field['prefixItems'])}"
    elif field.get("type") == "array":
        kind = f"list of {_type(field['items'], schema)}" if field.get("items") else "list"
    elif field.get("type") == "object":
        values = field.get("additionalProperties")
        kind = f"mapping to {_type(values, schema)}" if isinstance(values, dict) and values else "mapping"
    else:
        kind = _WORDS.get(field.get("type", ""), "anything")
    bounds = [_bound(text, field[key]) for key, text in _BOUNDS.items() if key in field]
    return ", ".join([kind, *bounds])


def _bound(text: str, value: Any) -> str:
    said = text.format(str(value).replace("|", "\\|"))
    return said.replace("1 characters", "1 character") if value == 1 else said


def _plain(value: Any) -> str:
    """Return a value as one writes it in an expression; ``None`` in words."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|")


def commands_page(registry: Registry) -> str:
    """Describe every command with its options: the core's, then those that plugins add."""
    context = click.Context(main, info_name="spaniel")
    lines = [
        "# Commands",
        "",
        "Those that a plugin adds name its distribution; `spaniel --help` lists what is installed.",
        "",
    ]
    owners = {command.name: command.callback.partition(".")[0] for command in registry.commands()}
    packages = {status.found.value.partition(":")[0]: status.distribution for status in registry.plugins()}
    for path, command in _walk(context, main, "spaniel"):
        lines += [f"## `{path}`", ""]
        owner = packages.get(owners.get(path.split()[1], ""), "") if " " in path else ""
        if owner not in ("", "spaniel"):
            lines += [f"*{owner}*", ""]
        lines += [_prose(inspect.cleandoc(command.help or "")), ""]
        usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=path)))
        lines += ["```text", *_folded(f"{path} {usage}"), "```", ""]
        rows = [o for o in command.params if isinstance(o, click.Option) and not o.hidden]
        if rows:
            lines += ["| option | takes | default | |", "|---|---|---|---|"]
            for option in rows:
                names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
                shown = option.show_default and option.default is not None
                default = f"`{_default(option)}`" if shown else ""
                told = f"| {names} | {_takes(option)} | {default} | {(option.help or '').replace('|', '/')} |"
                lines.append(" ".join(told.split()))
            lines.append("")
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Return the help of a command, with what stands in it line by line as a block."""
    parts = text.split("\n\n")
    blocks = {number for number, part in enumerate(parts) if part.startswith("\b\n")}
    return "\n\n".join(
        f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```" if number in blocks else part
        for number, part in enumerate(parts)
    )


def _folded(text: str, width: int = 90) -> list[str]:
    """Return a command in lines that a page shows whole."""
    first, *rest = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [first, *(f"    {line}" for line in rest)]


def _default(option: click.Option) -> str:
    value = option.default
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _takes(option: click.Option) -> str:
    """Return what an option of a command takes."""
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    word = {"integer": "whole number", "integer range": "whole number", "float": "number", "float range": "number"}
    said = [word.get(kind.name, kind.name)]
    if isinstance(kind, click.IntRange | click.FloatRange):
        if kind.min is not None:
            said.append(f"{'above' if kind.min_open else 'at least'} {kind.min:g}")
        if kind.max is not None:
            said.append(f"{'below' if kind.max_open else 'at most'} {kind.max:g}")
    return ", ".join([*said, *(["several times"] if option.multiple else [])])


def _walk(context: click.Context, command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        names = command.list_commands(context)
        if command is main:
            names = [*COMMANDS, *sorted(set(names) - set(COMMANDS))]
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

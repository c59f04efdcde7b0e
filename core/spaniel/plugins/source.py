"""Reading modules without importing them: where their file is, what they define, what they import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple

HEAVY = frozenset(
    (
        *("datasets", "faiss", "jax", "numba", "numpy", "pandas", "peft", "scipy", "sentence_transformers", "sklearn"),
        *("tensorflow", "tokenizers", "torch", "torchvision", "transformers"),
    )
)
"""Packages that no declaration and no config model may import."""


class Missing(Exception):
    """There is no such module, it has no such name, or it cannot be parsed; the message says which."""


class Class(NamedTuple):
    """A class as its source shows it: whether it has bases, and the names that it defines."""

    has_bases: bool
    names: frozenset[str]


def find_source(module: str) -> Path | None:
    """Return the file of a module, importing neither it nor its package; ``None`` where it is no Python source.

    Raises:
        Missing: there is no such module.
    """
    spec = _find_spec(module)
    if spec is None:
        raise Missing(f"there is no module {module}")
    return Path(spec.origin) if spec.origin is not None and spec.origin.endswith(".py") else None


def _find_spec(module: str) -> ModuleSpec | None:
    loaded = sys.modules.get(module)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    parent = module.rpartition(".")[0]
    path = None
    if parent:
        above = _find_spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        path = list(above.submodule_search_locations)
    for finder in sys.meta_path:
        spec = finder.find_spec(module, path) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    return None


@cache
def parse(file: Path) -> ast.Module:
    """Parse a file.

    Raises:
        Missing: it cannot be read or parsed.
    """
    try:
        return ast.parse(file.read_bytes(), file.name)
    except SyntaxError as error:
        raise Missing(f"syntax error in {file.name}, line {error.lineno}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise Missing(f"{file.name} cannot be read: {error}") from error


def definition(module: str, name: str, hops: int = 5) -> ast.AST | None:
    """Return what defines a name in a module, followed through imports; ``None`` where the source does not show it.

    Raises:
        Missing: the module is not there, or does not define the name.
    """
    file = find_source(module)
    if file is None or not hops:
        return None
    found: ast.AST | None = None
    is_open = False
    for statement in _statements(parse(file).body):
        names, node = _defined(statement)
        is_open = is_open or "*" in names or "__getattr__" in names
        # Of several definitions, as in `try: import …` and `except: name = None`, the one that says most counts.
        if name in names and (found is None or not isinstance(node, ast.Constant)):
            found = node
    if found is None and not is_open:
        raise Missing(f"{module} has no `{name}`")
    if isinstance(found, ast.ImportFrom):
        source = _absolute(found, module, file)
        original = next(alias.name for alias in found.names if (alias.asname or alias.name) == name)
        same_package = source.partition(".")[0] == module.partition(".")[0]
        return definition(source, original, hops - 1) if same_package else None
    return found


def describe_class(node: ast.ClassDef) -> Class:
    """Return what the source shows of a class."""
    names = frozenset(name for statement in _statements(node.body) for name in _defined(statement)[0])
    has_bases = any(not (isinstance(base, ast.Name) and base.id == "object") for base in node.bases)
    return Class(has_bases or bool(node.keywords), names)


def heavy_imports(module: str) -> list[str]:
    """Return the heavy packages that importing a module imports by its own top level, or its packages' top levels.

    Packages that are imported already are not read again.

    Raises:
        Missing: the module is not there, or cannot be parsed.
    """
    found: set[str] = set()
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        file = None if name in sys.modules else find_source(name)
        for statement in _statements(parse(file).body) if file is not None else ():
            if isinstance(statement, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in statement.names)
            elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                found.add(statement.module.partition(".")[0])
    return sorted(found & HEAVY)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a body does, also those inside ``if``, ``try`` and ``with``."""
    for statement in body:
        if isinstance(statement, ast.If) and _is_type_checking(statement.test):
            yield from _statements(statement.orelse)
            continue
        yield statement
        for field in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
                yield from _statements(getattr(statement, field, []))
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _statements(handler.body)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _defined(statement: ast.stmt) -> tuple[set[str], ast.AST]:
    """Return the names that a statement defines, and the node that says what they are."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}, statement
    if isinstance(statement, ast.Import):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}, statement
    if isinstance(statement, ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}, statement
    if isinstance(statement, ast.Assign):
        nodes = [node for target in statement.targets for node in ast.walk(target)]
        return {node.id for node in nodes if isinstance(node, ast.Name)}, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
        return {statement.target.id}, statement.value
    return set(), statement


def _absolute(statement: ast.ImportFrom, module: str, file: Path) -> str:
    if not statement.level:
        return statement.module or ""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for _ in range(statement.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{statement.module}" if statement.module else package

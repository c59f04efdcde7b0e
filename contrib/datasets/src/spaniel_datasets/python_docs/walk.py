"""Walks the standard library and prints its documentation, one JSON list a line: id, title, text, kind, module.

Run by itself, in a process of its own; it stands on the standard library alone.

The rules:

- Modules are the public ones of ``sys.stdlib_module_names``, packages walked. Left out are tests, demonstrations, modules
  that act when imported, and those that this machine cannot import.
- An object belongs to the module that defines it, or, where that one is private, to the first public module that offers
  it. It is documented when it has a docstring of its own, not one that it inherits.
- Methods whose names begin and end with two underscores are left out: their docstrings repeat in every class what the
  language reference says once, and the reference's topics are in the collection.
- A docstring of one line that only repeats the name of a constant's type is no documentation.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEFT_OUT = {
    "antigravity", "this", "idlelib", "lib2to3", "turtledemo", "test", "pydoc_data", "ensurepip", "__main__", "nt",
    "msilib", "winreg", "winsound", "msvcrt", "tkinter", "turtle", "__phello__", "_pyrepl", "posix", "genericpath",
} | {"posixpath", "ntpath"} - {os.path.__name__}  # fmt: skip
PUBLIC_NAME = {os.path.__name__: "os.path"}
"""Modules that people know under another name."""
_PLAIN = (str, bytes, int, float, type(None), tuple)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def public(name: str) -> bool:
    """Whether no part of a dotted name is private, or a test."""
    return not any(part.startswith("_") or part in ("test", "tests", "__main__") for part in name.split("."))


def modules() -> Iterator[types.ModuleType]:
    """Import and yield the public modules of the standard library, by name."""
    waiting = sorted(n for n in sys.stdlib_module_names if public(n) and n not in LEFT_OUT)
    while waiting:
        name = waiting.pop(0)
        try:
            module = importlib.import_module(name)
        except BaseException:  # a module that this machine cannot import is left out, whatever it raises
            continue
        yield module
        if hasattr(module, "__path__"):
            found = (f"{name}.{m.name}" for m in pkgutil.iter_modules(module.__path__))
            waiting = sorted(n for n in found if public(n)) + waiting


def clean(doc: str) -> str:
    """Return a docstring without indentation and addresses."""
    return _ADDRESS.sub("", inspect.cleandoc(doc)).strip()


def is_plain(default: Any) -> bool:
    """Whether a default is a plain value, and no path of this machine."""
    return isinstance(default, _PLAIN) and not (isinstance(default, str) and Path(default).is_absolute())


def signature(thing: Any) -> str:
    """Return the signature of a callable as text, or nothing; defaults that say more of this machine are shortened."""
    try:
        found = inspect.signature(thing)
        short = [
            p if p.default is p.empty or is_plain(p.default) else p.replace(default=...)
            for p in found.parameters.values()
        ]
        return _ADDRESS.sub("", str(found.replace(parameters=short)).replace("Ellipsis", "..."))
    except Exception:  # some signatures name what this build of Python lacks
        return ""


def own_doc(thing: Any, owner: type | None = None, name: str = "") -> str:
    """Return an object's own docstring: not that of its type, and not one that a class inherits."""
    doc = getattr(thing, "__doc__", None)
    if not isinstance(doc, str) or not doc.strip():
        return ""
    if not isinstance(thing, type) and doc == getattr(type(thing), "__doc__", None):
        return ""
    bases = thing.__mro__[1:] if isinstance(thing, type) else ()
    if any(doc == base.__doc__ for base in bases):
        return ""
    if owner is not None and any(getattr(vars(b).get(name), "__doc__", None) == doc for b in owner.__mro__[1:]):
        return ""
    return clean(doc)


class Collection:
    """What has been found, each object once."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[str, str, str, str, str]] = {}
        self.seen: set[int] = set()

    def add(self, name: str, text: str, kind: str, module: str) -> None:
        if text and name not in self.entries:
            self.entries[name] = (name, name, text, kind, module)

    def module(self, module: types.ModuleType) -> None:
        home = PUBLIC_NAME.get(module.__name__, module.__name__)
        if home != "builtins":
            self.add(home, own_doc(module), "module", home)
        exported = getattr(module, "__all__", None)
        names = exported if isinstance(exported, list | tuple) else vars(module)
        offered = {str(n): getattr(module, str(n), None) for n in names if not str(n).startswith("_")}
        # Of several names for one object, its own comes first.
        for name in sorted(offered, key=lambda n: (getattr(offered[n], "__name__", n) != n, n)):
            thing = offered[name]
            if thing is None or isinstance(thing, types.ModuleType) or id(thing) in self.seen:
                continue
            where = getattr(thing, "__module__", None) or home
            # An object that another public module defines is documented there; but a builtin as a builtin, and what a
            # package offers of its own modules as the package's.
            inside = str(where).lstrip("_") in (home, module.__name__) or str(where).startswith(f"{home}.")
            if home != "builtins" and not inside and self.is_home(where, thing):
                continue
            self.object(name if home == "builtins" else f"{home}.{name}", thing, home)

    def is_home(self, where: object, thing: Any) -> bool:
        """Whether a module, or the public face of a compiled one (``io`` of ``_io``), offers an object itself."""
        name = str(where).lstrip("_")
        offered = getattr(sys.modules.get(name), str(getattr(thing, "__name__", "")), None)
        return offered is thing and public(name) and name.partition(".")[0] in sys.stdlib_module_names - LEFT_OUT

    def object(self, name: str, thing: Any, home: str) -> None:
        if isinstance(thing, type):
            self.seen.add(id(thing))
            doc = own_doc(thing)
            if doc:
                self.add(name, f"class {name}{signature(thing)}\n\n{doc}", "class", home)
            # What a private base class defines has no other public home.
            private = [base for base in thing.__mro__[1:] if base.__name__.startswith("_")]
            for owner in (thing, *private):
                for member, raw in sorted(vars(owner).items()):
                    if not member.startswith("_"):
                        self.member(f"{name}.{member}", member, raw, owner, home)
        elif callable(thing):
            self.seen.add(id(thing))
            doc = own_doc(thing)
            if doc:
                self.add(name, f"{name}{signature(thing)}\n\n{doc}", "function", home)

    def member(self, name: str, member: str, raw: Any, owner: type, home: str) -> None:
        thing = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        doc = own_doc(thing, owner, member)
        if not doc or isinstance(thing, type):
            return
        if callable(thing):
            self.add(name, f"{name}{signature(thing)}\n\n{doc}", "method", home)
        elif doc != f"Alias for field number {doc.rpartition(' ')[2]}":
            self.add(name, doc, "property", home)


def topics() -> Iterator[tuple[str, str]]:
    """Yield the topics of the language reference."""
    from pydoc_data.topics import topics as reference

    for name in sorted(reference):
        lines = [
            line for line in reference[name].strip().split("\n") if not re.fullmatch(r"[*=~^\"-]{3,}", line.strip())
        ]
        yield name, "\n".join(lines)


def main() -> None:
    """Print everything."""
    out = sys.stdout
    collection = Collection()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        # builtins first: what they define is documented under its plain name.
        found = sorted(modules(), key=lambda m: (m.__name__ != "builtins", m.__name__))
        for module in found:
            collection.module(module)
        for name, text in topics():
            title = text.partition("\n")[0]
            collection.entries[f"topic:{name}"] = (f"topic:{name}", f"{name}: {title}", text, "topic", "language")
    for entry in collection.entries.values():
        out.write(json.dumps([field.encode("utf-8", "replace").decode() for field in entry]) + "\n")
    out.flush()


if __name__ == "__main__":
    main()

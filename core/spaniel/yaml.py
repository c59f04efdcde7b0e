"""YAML for pipelines and recipes: one document of plain mappings, lists and scalars, with the place of every part.

Scalars mean what YAML 1.2 says: ``null``, ``true``, ``false``, decimal numbers (``1e-5`` is one); everything else is
text, dates and ``no`` among it. Aliases and merge keys are read up to a number of nodes. Refused are tags, keys that
come twice or are no scalars, several documents, numbers that are not finite, and numbers as only YAML 1.1 or programs
write them (``0x1F``, ``0777``, ``1_000``), which other tools would read as something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from spaniel.errors import UsageError

MAX_BYTES = 2**18
"""Bytes of a file."""
MAX_NODES = 20_000
"""Scalars, lists and mappings, those of aliases counted each time."""
MAX_CHARACTERS = 2**20
"""Characters of all scalars, those of aliases counted each time."""
MAX_DEPTH = 100
MAX_DIGITS = 300

_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_OTHER_NUMBER = re.compile(r"[-+]?(?:0[xob][0-9a-fA-F_]*|0[0-9_]+|[0-9][0-9_]*_[0-9_]*)", re.IGNORECASE)
_MERGE = "<<"

Place = tuple[str | int, ...]
"""Keys and positions from the outermost node inwards."""


@dataclass
class Node:
    """A part of a document, with its line and column from 1.

    Attributes:
        value: the scalar; of a list or mapping ``None``.
        parts: the nodes of a list or of a mapping.
        keys: line and column of each key of a mapping.
    """

    line: int
    column: int
    value: str | int | float | bool | None = None
    parts: list[Node] | dict[str, Node] | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    nodes: int = 1
    characters: int = 0
    depth: int = 1

    @property
    def content(self) -> Any:
        """Plain data."""
        if isinstance(self.parts, dict):
            return {key: part.content for key, part in self.parts.items()}
        return [part.content for part in self.parts] if self.parts is not None else self.value


@dataclass(frozen=True)
class Yaml:
    """What a text holds.

    Attributes:
        name: of the file, for messages.
        content: plain data: text, numbers, booleans, ``None``, lists, and mappings with text as keys.
    """

    name: str
    root: Node | None

    @property
    def content(self) -> Any:
        """The data of the document; ``None`` for an empty one."""
        return None if self.root is None else self.root.content

    def where(self, place: Place) -> str:
        """Return ``name:line:column`` of a part, or of the nearest part around it that is there."""
        node = self.root
        line, column = (1, 1) if node is None else (node.line, node.column)
        for step in place:
            parts = None if node is None else node.parts
            if isinstance(parts, dict) and str(step) in parts:
                line, column = node.keys[str(step)] if node is not None else (line, column)
                node = parts[str(step)]
            elif isinstance(parts, list) and isinstance(step, int) and 0 <= step < len(parts):
                node = parts[step]
                line, column = node.line, node.column
        return f"{self.name}:{line}:{column}"


def read_yaml(path: str | Path) -> Yaml:
    """Read a file; UTF-8, or UTF-16 with its byte order mark.

    Raises:
        UsageError: it cannot be read, is too large, or is no such YAML; with file, line and column.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} has more than {MAX_BYTES} bytes")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = _at(data[: error.start].decode(encoding, "replace"))
        raise UsageError(f"{path}:{line}:{column}: the bytes are no {encoding[:6].upper().rstrip('-')}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Yaml:
    """Parse a text; ``name`` stands before line and column in messages.

    Raises:
        UsageError: it is no such YAML.
    """
    return Yaml(name, _Builder(text, name).build())


def _at(before: str) -> tuple[int, int]:
    """Return line and column, from 1, behind some text."""
    lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", before)
    return len(lines), len(lines[-1]) + 1


@dataclass
class _Open:
    """A list or mapping that is not closed yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    merged: list[Node] = field(default_factory=list)


class _Builder:
    """Makes nodes of events one by one, so that no text can nest deeper than the interpreter's stack."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.open: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        self.root: Node | None = None
        self.nodes = self.characters = 0

    def fail(self, problem: str, line: int, column: int) -> NoReturn:
        raise UsageError(f"{self.name}:{line}:{column}: {problem}")

    def build(self) -> Node | None:
        if len(self.text) > MAX_BYTES:
            raise UsageError(f"{self.name} has more than {MAX_BYTES} characters")
        loader = None
        try:
            loader = yaml.SafeLoader(self.text)
            while loader.check_event():
                self.take(loader.get_event())  # type: ignore[no-untyped-call]
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = " ".join(filter(None, (error.context, error.problem)))
            self.fail(f"no YAML: {problem}", *((mark.line + 1, mark.column + 1) if mark else (1, 1)))
        except yaml.reader.ReaderError as error:
            code = error.character if isinstance(error.character, int) else ord(self.text[error.position])
            what = f"the character U+{code:04X}, which YAML does not allow"
            self.fail(f"no YAML: {what}", *_at(self.text[: error.position]))
        except (ValueError, OverflowError) as error:
            # PyYAML makes a character of any eight digits behind \U.
            mark = loader.get_mark() if loader is not None else None
            where = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
            self.fail(f"no YAML: a character that does not exist ({error})", *where)
        finally:
            if loader is not None:
                loader.dispose()
        return self.root

    def take(self, event: yaml.Event) -> None:
        assert event.start_mark is not None  # the parser's own events have marks
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self.fail("a second document; a file holds one", line, column)
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag is not None:
            self.fail(f"the tag {tag}; tags are not read, write plain values", line, column)
        if isinstance(event, yaml.AliasEvent):
            self.alias(str(anchor), line, column)
        elif isinstance(event, yaml.ScalarEvent):
            self.check_text(event.value, line, column)
            awaits_key = bool(self.open) and isinstance(self.open[-1].node.parts, dict) and self.open[-1].key is None
            value = event.value if awaits_key or event.style is not None else self.plain(event.value, line, column)
            self.count(1, len(event.value), line, column)
            self.add(Node(line, column, value, characters=len(event.value)), anchor, line, column)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            if len(self.open) >= MAX_DEPTH:
                self.fail(f"nested deeper than {MAX_DEPTH} levels", line, column)
            self.count(1, 0, line, column)
            parts: Any = [] if isinstance(event, yaml.SequenceStartEvent) else {}
            if anchor is not None:
                self.anchors[anchor] = None
            self.open.append(_Open(Node(line, column, None, parts), anchor))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self.close()

    def plain(self, text: str, line: int, column: int) -> str | int | float | bool | None:
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            if len(text) > MAX_DIGITS:
                self.fail(f"a number has at most {MAX_DIGITS} digits", line, column)
            if _INT.fullmatch(text):
                return int(text)
        if _OTHER_NUMBER.fullmatch(text):
            self.fail(
                f"{text[:40]} is read differently by different tools: write a decimal number, or quote it", line, column
            )
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not math.isfinite(float(text))):
            self.fail(f"{text[:40]} is no finite number; numbers are finite", line, column)
        return float(text) if _FLOAT.fullmatch(text) else text

    def check_text(self, text: str, line: int, column: int) -> None:
        if "\0" in text:
            self.fail("a text with NUL, which no option can hold", line, column)
        if any("\ud800" <= c <= "\udfff" for c in text):
            self.fail("a text with a lone surrogate, which is no Unicode character", line, column)

    def count(self, nodes: int, characters: int, line: int, column: int) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > MAX_NODES:
            self.fail(f"more than {MAX_NODES} nodes, aliases counted each time", line, column)
        if self.characters > MAX_CHARACTERS:
            self.fail(f"more than {MAX_CHARACTERS} characters, aliases counted each time", line, column)

    def alias(self, anchor: str, line: int, column: int) -> None:
        if anchor not in self.anchors:
            self.fail(f"the alias *{anchor} has no anchor &{anchor} before it", line, column)
        node = self.anchors[anchor]
        if node is None:
            self.fail(f"the alias *{anchor} stands inside what it names", line, column)
        if len(self.open) + node.depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels", line, column)
        self.count(node.nodes, node.characters, line, column)
        self.add(node, None, line, column)

    def close(self) -> None:
        closed = self.open.pop()
        node = closed.node
        if isinstance(node.parts, dict):
            for source in closed.merged:
                assert isinstance(source.parts, dict)
                for key, part in source.parts.items():
                    if key not in node.parts:
                        node.parts[key], node.keys[key] = part, source.keys[key]
        parts = list(node.parts.values()) if isinstance(node.parts, dict) else node.parts or []
        node.nodes = 1 + sum(part.nodes for part in parts)
        node.characters = sum(part.characters for part in parts) + sum(map(len, node.keys))
        node.depth = 1 + max((part.depth for part in parts), default=0)
        self.add(node, closed.anchor, node.line, node.column)

    def add(self, node: Node, anchor: str | None, line: int, column: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
            return
        around = self.open[-1]
        parts = around.node.parts
        if isinstance(parts, list):
            parts.append(node)
        elif around.key is None:
            around.key = self.key(around.node, node, line, column)
        else:
            assert isinstance(parts, dict)
            if around.key == _MERGE:
                around.merged += self.merged(node, line, column)
            else:
                parts[around.key] = node
            around.key = None

    def key(self, mapping: Node, node: Node, line: int, column: int) -> str:
        if node.parts is not None or not isinstance(node.value, str):
            self.fail("a key is a text, not a list, a mapping or the alias of a number", line, column)
        if node.value in mapping.keys:
            first = mapping.keys[node.value][0]
            self.fail(f"the key {node.value!r} comes twice; it is in line {first} already", line, column)
        mapping.keys[node.value] = (line, column)
        return node.value

    def merged(self, node: Node, line: int, column: int) -> Sequence[Node]:
        sources = node.parts if isinstance(node.parts, list) else [node]
        if not all(isinstance(source.parts, dict) for source in sources):
            self.fail(f"`{_MERGE}` takes a mapping, or a list of mappings", line, column)
        return sources

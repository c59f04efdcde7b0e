"""Filters over the metadata of documents: a small language, parsed with positions, answered by SQLite.

Grammar, in rising order of what binds::

    filter = all ("or" all)*
    all    = one ("and" one)*
    one    = "not" one | "(" filter ")" | test
    test   = field ("=" | "!=" | "<" | "<=" | ">" | ">=") value | field ["not"] "in" "[" value ("," value)* "]"
    field  = name ("." name)*        a name is a word, or anything in backticks: `publication year`
    value  = "text" | 'text' | number | true | false | null

As in ``year >= 2000 and (domain = "news" or not lang in ["en", "de"])``. Every test is true or false:

- A test of a field that a document lacks is false, but for ``= null``, which asks for just that (or for a stored null).
- A value of another type is never equal, lower or greater: ``year > 1999`` is false where the year is ``"2001"``.
- A list stands for each of its elements: ``tags = "a"`` is true where one of the tags is. An object equals nothing.
- ``a != b`` is ``not a = b`` and ``a not in […]`` is ``not a in […]``; so both are true of documents without the field.
- Numbers compare as numbers, texts by code points; of ``true``, ``false`` and ``null`` it is only asked whether they
  are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spaniel.errors import UsageError
from spaniel.expression.tokens import point_out
from spaniel.expression.tree import Span

if TYPE_CHECKING:
    from spaniel.data.corpus import Corpus

Scalar: TypeAlias = "str | int | float | bool | None"
Filter: TypeAlias = "Comparison | Not | And | Or"

MAX_LENGTH = 200_000
MAX_TESTS = 2_000
MAX_DEPTH = 50
FEW_TESTS, FEW_LEVELS = 20, 8
"""Tests, and levels of them, that SQLite answers as one condition; its parser has room for few."""
_BIGGEST = 2**63
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<quoted>`[^`]*`)
    |(?P<word>[^\W\d][\w-]*)
    |(?P<mark>!=|<=|>=|[=<>()\[\],.])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = ("and", "or", "not", "in", "true", "false", "null")
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_CONSTANTS = {"true": True, "false": False, "null": None}


class Comparison(NamedTuple):
    """A comparison of a field with one value; ``in`` has several.

    Attributes:
        field: names from the outermost object inwards.
        operator: ``"="``, ``"<"``, ``"<="``, ``">"``, ``">="`` or ``"in"``.
        values: what it is compared with.
    """

    field: tuple[str, ...]
    operator: str
    values: tuple[Scalar, ...]


class Not(NamedTuple):
    """True where ``part`` is false."""

    part: Filter


class And(NamedTuple):
    """True where every part is."""

    parts: tuple[Filter, ...]


class Or(NamedTuple):
    """True where one of the parts is."""

    parts: tuple[Filter, ...]


def parse_filter(text: str) -> Filter:
    """Parse a filter.

    Raises:
        UsageError: where the text is none; the message underlines the place.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"a filter has at most {MAX_LENGTH} characters, not {len(text)}")
    parser = _Parser(text)
    found = parser.either()
    if parser.token.type != "end":
        parser.fail(f"expected `and`, `or` or the end, not {parser.token.shown}")
    return found


def filter_mask(corpus: Corpus, text: str) -> NDArray[np.bool_]:
    """Return which documents of a corpus a filter lets through: ``(len(corpus),)`` bool, by row.

    Raises:
        UsageError: the text is no filter, or has more than :data:`MAX_TESTS` tests.
    """
    node = _gathered(parse_filter(text))
    tests = {_key(test): test for test in _tests(node)}
    if len(tests) > MAX_TESTS:
        raise UsageError(
            f"a filter has at most {MAX_TESTS} tests, not {len(tests)}; all values of one field are one: a in [1, 2]"
        )
    numbers = {key: number for number, key in enumerate(tests)}
    found = np.zeros(len(corpus), bool)
    if sum(1 for _ in _tests(node)) <= FEW_TESTS and _depth(node) <= FEW_LEVELS:
        found[corpus.rows_where(*_whole_sql(node))] = True
        return found
    # SQLite answers each test by itself: it limits how deep and how large a condition is, and how many values it has.
    for start, answers in corpus.answers([to_sql(test) for test in tests.values()]):
        found[start : start + answers.shape[1]] = _combined(node, numbers, answers)
    return found


def _depth(node: Filter) -> int:
    if isinstance(node, Comparison):
        return 1
    return 1 + max(map(_depth, (node.part,) if isinstance(node, Not) else node.parts))


def _whole_sql(node: Filter) -> tuple[str, list[Any]]:
    """Return a filter of few tests as one condition, of which SQLite asks no more than it needs."""
    if isinstance(node, Comparison):
        return to_sql(node)
    if isinstance(node, Not):
        sql, values = _whole_sql(node.part)
        return f"(NOT {sql})", values
    parts = [_whole_sql(part) for part in node.parts]
    join = " AND " if isinstance(node, And) else " OR "
    return f"({join.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]


def _key(test: Comparison) -> Any:
    # To Python, true and 1 are equal.
    return (test, *map(type, test.values))


def _combined(node: Filter, numbers: Mapping[Any, int], answers: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if isinstance(node, Comparison):
        row: NDArray[np.bool_] = answers[numbers[_key(node)]]
        return row
    if isinstance(node, Not):
        return ~_combined(node.part, numbers, answers)
    join = np.logical_and if isinstance(node, And) else np.logical_or
    found = _combined(node.parts[0], numbers, answers).copy()
    for part in node.parts[1:]:
        join(found, _combined(part, numbers, answers), out=found)
    return found


def _tests(node: Filter) -> Iterator[Comparison]:
    if isinstance(node, Comparison):
        yield node
    else:
        for part in (node.part,) if isinstance(node, Not) else node.parts:
            yield from _tests(part)


def _gathered(node: Filter) -> Filter:
    """Ask once for all values of a field: ``a = 1 or a = 2`` is ``a in [1, 2]``, and so for ``a != 1 and a != 2``."""
    if isinstance(node, Comparison):
        return node
    if isinstance(node, Not):
        return Not(_gathered(node.part))
    parts = [_gathered(part) for part in node.parts]
    kept: list[Filter] = []
    values: dict[tuple[str, ...], list[Scalar]] = {}
    for part in parts:
        test = part.part if isinstance(node, And) and isinstance(part, Not) else part
        if (
            isinstance(test, Comparison)
            and test.operator in ("=", "in")
            and (test is not part) == isinstance(node, And)
        ):
            values.setdefault(test.field, []).extend(test.values)
        else:
            kept.append(part)
    for field, asked in values.items():
        test = Comparison(field, "in", tuple(asked))
        kept.append(Not(test) if isinstance(node, And) else test)
    return kept[0] if len(kept) == 1 else And(tuple(kept)) if isinstance(node, And) else Or(tuple(kept))


def to_sql(test: Comparison) -> tuple[str, list[Any]]:
    """Return a test as a condition over the column ``metadata``, and the values that are bound to its places.

    No text of the filter becomes SQL: fields and values are bound.
    """
    path = "$" + "".join(f'."{name}"' for name in test.field)
    parts = [
        part
        for part in (
            _typed(test, path, ("integer", "real"), [v for v in test.values if type(v) in (int, float)]),
            _typed(test, path, ("text",), [v for v in test.values if isinstance(v, str)]),
            *(_constant(path, value) for value in (True, False, None) if any(v is value for v in test.values)),
        )
        if part is not None
    ]
    return "(" + " OR ".join(sql for sql, _ in parts) + ")", [value for _, values in parts for value in values]


def _typed(test: Comparison, path: str, types: Sequence[str], values: list[Any]) -> tuple[str, list[Any]] | None:
    if not values:
        return None
    if test.operator == "in":
        compared, bound = "IN (SELECT value FROM json_each(?))", json.dumps(values)
    else:
        compared, bound = f"{test.operator} ?", values[0]
    named = ", ".join(f"'{name}'" for name in types)
    scalar = " ".join(f"WHEN '{name}' THEN json_extract(metadata, ?) {compared}" for name in types)
    listed = f"EXISTS (SELECT 1 FROM json_each(metadata, ?) AS e WHERE e.type IN ({named}) AND e.value {compared})"
    sql = f"CASE json_type(metadata, ?) {scalar} WHEN 'array' THEN {listed} ELSE 0 END"
    return sql, [path, *([path, bound] * (len(types) + 1))]


def _constant(path: str, value: bool | None) -> tuple[str, list[Any]]:
    name = {True: "true", False: "false", None: "null"}[value]
    listed = f"EXISTS (SELECT 1 FROM json_each(metadata, ?) AS e WHERE e.type = '{name}')"
    otherwise = 1 if value is None else 0
    # A field that is not there has no type, which no WHEN is equal to: only null looks for it.
    missing = f"WHEN json_type(metadata, ?) IS NULL THEN {otherwise}"
    sql = (
        f"CASE {missing} WHEN json_type(metadata, ?) = 'array' THEN {listed} ELSE json_type(metadata, ?) = '{name}' END"
    )
    return sql, [path] * 4


class _Token(NamedTuple):
    type: str
    text: str
    span: Span

    @property
    def shown(self) -> str:
        return "the end" if self.type == "end" else self.text if self.type == "quoted" else f"`{self.text}`"

    @property
    def keyword(self) -> str:
        """The keyword that this is, in whatever case it is written, or nothing."""
        lower = self.text.lower()
        return lower if self.type == "word" and lower in _KEYWORDS else ""


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self.tokenize()
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, message: str, span: Span | None = None) -> NoReturn:
        raise UsageError(point_out(self.text, span or self.token.span, f"filter: {message}"))

    def tokenize(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                unclosed = self.text[at] in "\"'`"
                what = "a quote that is not closed" if unclosed else f"unexpected {self.text[at]!r}"
                self.fail(f"{what}; texts stand in quotes, unusual names of fields in backticks", (at, at + 1))
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match.group(), match.span()))
            at = match.end()
        tokens.append(_Token("end", "", (len(self.text), len(self.text) + 1)))
        return tokens

    def take(self, what: str) -> bool:
        """Step over a mark or a keyword, if it is what stands here."""
        token = self.token
        found = token.keyword == what or (token.type == "mark" and token.text == what)
        self.at += found
        return found

    def either(self) -> Filter:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        parts = [self.both()]
        while self.take("or"):
            parts.append(self.both())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self) -> Filter:
        parts = [self.one()]
        while self.take("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self) -> Filter:
        negated = False
        while self.take("not"):
            negated = not negated
        if self.take("("):
            found = self.either()
            if not self.take(")"):
                self.fail(f"expected `)` to close this parenthesis, not {self.token.shown}")
        else:
            found = self.test()
        return Not(found) if negated else found

    def test(self) -> Filter:
        field = self.field()
        operator = self.token
        if operator.type == "mark" and operator.text in _COMPARISONS:
            self.at += 1
            value = self.value()
            if type(value) not in (int, float, str) and operator.text not in ("=", "!="):
                self.fail(f"`{operator.text}` compares numbers or texts; here it can be `=` or `!=`", operator.span)
            if operator.text == "!=":
                return Not(Comparison(field, "=", (value,)))
            return Comparison(field, operator.text, (value,))
        negated = self.take("not")
        if not self.take("in"):
            expected = "`in`" if negated else f"a comparison ({' '.join(_COMPARISONS)} in)"
            self.fail(f"expected {expected} after the field, not {self.token.shown}")
        test = Comparison(field, "in", self.values())
        return Not(test) if negated else test

    def field(self) -> tuple[str, ...]:
        names = [self.name()]
        while self.take("."):
            names.append(self.name())
        return tuple(names)

    def name(self) -> str:
        token = self.token
        if token.type not in ("word", "quoted") or token.keyword:
            self.fail(f"expected the name of a field, not {token.shown}")
        self.at += 1
        name = token.text.strip("`") if token.type == "quoted" else token.text
        if not name or not name.isprintable() or '"' in name or "\\" in name:
            self.fail("the name of a field is printable, and has no quotes and no backslash", token.span)
        return name

    def values(self) -> tuple[Scalar, ...]:
        if not self.take("["):
            self.fail(f"expected a list in brackets after `in`, not {self.token.shown}")
        values: list[Scalar] = [self.value()]
        while self.take(","):
            values.append(self.value())
        if not self.take("]"):
            self.fail(f"expected `,` or `]` after a value, not {self.token.shown}")
        return tuple(values)

    def value(self) -> Scalar:
        token = self.token
        self.at += 1
        if token.type == "number":
            return self.number(token)
        if token.type == "text":
            return self.string(token)
        if token.keyword in _CONSTANTS:
            return _CONSTANTS[token.keyword]
        self.at -= 1
        hint = "; texts stand in quotes" if token.type in ("word", "quoted") else ""
        self.fail(f"expected a value, not {token.shown}{hint}")

    def number(self, token: _Token) -> int | float:
        whole = not any(sign in token.text for sign in ".eE") and len(token.text) < 30
        value = int(token.text) if whole else float(token.text)
        if abs(value) == float("inf"):
            self.fail("a number too large for a double", token.span)
        return value if isinstance(value, float) or -_BIGGEST <= value < _BIGGEST else float(value)

    def string(self, token: _Token) -> str:
        inner = token.text[1:-1]
        if token.text[0] == "'":
            inner = re.sub(
                r'\\(.)|(")', lambda m: '\\"' if m[2] else "'" if m[1] == "'" else m[0], inner, flags=re.DOTALL
            )
        try:
            value = str(json.loads(f'"{inner}"', strict=False))
            value.encode("utf-8")
        except ValueError as error:
            self.fail(f"malformed text: {error}", token.span)
        if "\0" in value:
            self.fail("a text without NUL is needed", token.span)
        return value

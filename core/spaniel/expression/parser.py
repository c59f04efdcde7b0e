"""Text → expression, with the place of every part.

Grammar, with Python's precedence::

    chain   = sum (">>" sum)*
    sum     = product ("+" product)*
    product = item (("*" | "%") item)*
    item    = number | string | "[" value,* "]" | "(" chain ")" | name [ "(" argument,* ")" ]
    argument = [option "="] chain
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, NoReturn

from spaniel.errors import UsageError
from spaniel.expression.tree import INPUTS, MAX_DEPTH, NAME, OPTION, RESERVED, Chain, Expression, Span, Stage, Value

MAX_LENGTH = 100_000
MAX_DIGITS = 300
_MAX_PARENTHESES = 2 * MAX_DEPTH + 10

_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>{NAME.pattern})
    |(?P<mark>>>|[%+*()\[\],=])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class _Token(NamedTuple):
    type: str
    text: str
    start: int
    end: int


class _Item(NamedTuple):
    """A parsed value with its place; ``bare`` when it is a lone name or parenthesised nothing else."""

    value: Value
    span: Span


def point_out(source: str, span: Span, message: str) -> str:
    """Return the message with the place underlined beneath the line of the source that holds it."""
    start = min(span[0], len(source))
    line_start = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", start)
    line = source[line_start : line_end if line_end >= 0 else len(source)]
    column = start - line_start
    width = max(1, min(span[1], line_start + len(line)) - start)
    visible = "".join(c if c.isprintable() else " " for c in line)
    return f"{message}\n  {visible}\n  {' ' * column}{'^' * width}"


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        UsageError: where the text is no expression; the message underlines the place.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"an expression has at most {MAX_LENGTH} characters, not {len(text)}")
    parser = _Parser(text)
    item = parser.chain()
    parser.expect_end()
    return parser.as_expression(item)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self.tokenize()
        self.at = 0
        self.depth = 0

    def fail(self, message: str, span: Span) -> NoReturn:
        raise UsageError(point_out(self.text, span, message))

    def tokenize(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                what = "text without a closing quote" if self.text[at] in "\"'" else f"unexpected {self.text[at]!r}"
                self.fail(f"{what}; text that is no plain name needs quotes", (at, at + 1))
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match.group(), match.start(), match.end()))
            at = match.end()
        tokens.append(_Token("end", "", len(self.text), len(self.text) + 1))
        return tokens

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self, mark: str) -> bool:
        token = self.peek()
        if token.type == "mark" and token.text == mark:
            self.at += 1
            return True
        return False

    def expect(self, mark: str, why: str) -> None:
        if not self.take(mark):
            token = self.peek()
            self.fail(f"expected `{mark}` {why}, not {_name(token)}", (token.start, token.end))

    def expect_end(self) -> None:
        token = self.peek()
        if token.type != "end":
            self.fail(f"expected an operator (>> % + *) or the end, not {_name(token)}", (token.start, token.end))

    def as_expression(self, item: _Item) -> Expression:
        if isinstance(item.value, Stage | Chain):
            return item.value
        self.fail(f"expected a component, not the value {_show(item.value)}", item.span)

    def place(self, node: Expression, start: int) -> _Item:
        node.source, node.span = self.text, (start, self.tokens[self.at - 1].end)
        return _Item(node, node.span)

    def chain(self) -> _Item:
        self.depth += 1
        start = self.peek().start
        if self.depth > _MAX_PARENTHESES:
            self.fail(f"nested deeper than {MAX_DEPTH} levels", (start, start + 1))
        item = self.sum()
        if self.peek().text == ">>":
            parts = [self.as_expression(item)]
            while self.take(">>"):
                parts.append(self.as_expression(self.sum()))
            item = self.place(Chain(*parts), start)
        self.depth -= 1
        return item

    def sum(self) -> _Item:
        start = self.peek().start
        item = self.product()
        while self.take("+"):
            item = self.place(self.as_expression(item) + self.as_expression(self.product()), start)
        return item

    def product(self) -> _Item:
        start = self.peek().start
        item = self.item()
        while True:
            if self.take("*"):
                right = self.item()
                left, weight = _number(item.value), _number(right.value)
                if left is not None:
                    item = self.place(self.as_expression(right) * left, start)
                elif weight is not None:
                    item = self.place(self.as_expression(item) * weight, start)
                else:
                    self.fail("`*` weighs a component by a number, as in `0.3 * bm25`", (start, right.span[1]))
            elif self.take("%"):
                right = self.item()
                if not isinstance(right.value, int) or isinstance(right.value, bool):
                    self.fail("`%` cuts after a whole number of documents, as in `bm25 % 50`", right.span)
                item = self.place(self.as_expression(item) % right.value, start)
            else:
                return item

    def item(self) -> _Item:
        token = self.peek()
        span = (token.start, token.end)
        if token.type == "number":
            self.at += 1
            if len(token.text) > MAX_DIGITS:
                self.fail(f"a number has at most {MAX_DIGITS} digits", span)
            if not any(c in token.text for c in ".eE"):
                return _Item(int(token.text), span)
            number = float(token.text)
            if abs(number) == float("inf"):
                self.fail("a number too large for a double", span)
            return _Item(number, span)
        if token.type == "string":
            self.at += 1
            return _Item(self.string(token), span)
        if token.type == "name":
            return self.name()
        if self.take("("):
            item = self.chain()
            self.expect(")", "to close this parenthesis")
            return item
        if self.take("["):
            return self.values(token.start)
        self.fail(f"expected a component or a value, not {_name(token)}", span)

    def string(self, token: _Token) -> str:
        text = token.text
        if text[0] == "'":
            inner = re.sub(r"\\(.)", lambda m: "'" if m[1] == "'" else m[0], text[1:-1], flags=re.DOTALL)
            text = '"' + re.sub(r'(\\.)|(")', lambda m: m[1] or '\\"', inner, flags=re.DOTALL) + '"'
        try:
            return str(json.loads(text, strict=False))
        except ValueError as error:
            self.fail(f"malformed text: {error}", (token.start, token.end))

    def values(self, start: int) -> _Item:
        values: list[Value] = []
        while not self.take("]"):
            if values:
                self.expect(",", "between the values of a list")
            values.append(_collapse(self.chain().value))
        return _Item(tuple(values), (start, self.tokens[self.at - 1].end))

    def name(self) -> _Item:
        token = self.peek()
        self.at += 1
        if token.text in RESERVED:
            return _Item(RESERVED[token.text], (token.start, token.end))
        inputs: list[Expression] = []
        options: dict[str, Value] = {}
        spans: dict[str, Span] = {}
        if self.take("("):
            self.arguments(token.text, inputs, options, spans)
        stage = Stage(token.text, *inputs, **options)
        stage.option_spans = spans
        return self.place(stage, token.start)

    def arguments(self, name: str, inputs: list[Expression], options: dict[str, Value], spans: dict[str, Span]) -> None:
        first = True
        while not self.take(")"):
            if not first:
                self.expect(",", f"or `)` after an argument of `{name}`")
                if self.take(")"):
                    return
            first = False
            token, after = self.peek(), self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            if token.type == "name" and after.text == "=" and after.type == "mark":
                if not OPTION.fullmatch(token.text) or token.text in RESERVED or token.text == INPUTS:
                    self.fail(f"`{token.text}` is no option name", (token.start, token.end))
                if token.text in options:
                    self.fail(f"option `{token.text}` is given twice", (token.start, token.end))
                self.at += 2
                options[token.text] = _collapse(self.chain().value)
                spans[token.text] = (token.start, self.tokens[self.at - 1].end)
            else:
                item = self.chain()
                if not isinstance(item.value, Stage | Chain):
                    self.fail("a value needs the name of its option, as in `k=10`", item.span)
                if options:
                    self.fail("inputs come before options", item.span)
                inputs.append(item.value)


def _collapse(value: Value) -> Value:
    return value.name if isinstance(value, Stage) and not value.inputs and not value.options else value


def _number(value: Value) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _name(token: _Token) -> str:
    return "the end" if token.type == "end" else f"`{token.text}`"


def _show(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)

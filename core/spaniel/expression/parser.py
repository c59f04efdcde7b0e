"""Text → expression, with the place of every part.

Grammar, with Python's precedence::

    chain   = sum (">>" sum)*
    sum     = product ("+" product)*
    product = item (("*" | "%") item)*
    item    = number | string | path | "[" value,* "]" | "(" chain ")" | name [ "(" argument,* ")" ]
    argument = [option "="] chain

A path begins with ``/``, ``./``, ``../`` or ``~/`` and ends before white space, a comma, a bracket, a quote or an operator;
it is text, as if it stood in quotes.

In the expression of a search an item may also be a hole::

    hole    = "?" [ name | "[" low ".." high [ "," "log" ] "]" | "[" value,* "]" ]
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, NoReturn

from spaniel.errors import UsageError
from spaniel.expression.tokens import Token, point_out, tokenize
from spaniel.expression.tree import (
    HOLE,
    INPUTS,
    MAX_DEPTH,
    OPTION,
    RESERVED,
    WEIGHTED,
    Chain,
    Expression,
    Hole,
    Span,
    Stage,
    Value,
    is_sum,
)

MAX_LENGTH = 100_000
MAX_DIGITS = 300
_MAX_PARENTHESES = 2 * MAX_DEPTH + 10


class _Item(NamedTuple):
    """A parsed value with its place; ``bare`` when it is a lone name or parenthesised nothing else."""

    value: Value
    span: Span


def parse(text: str, holes: bool = False) -> Expression:
    """Parse an expression.

    Args:
        text: the expression.
        holes: whether it may have holes, as that of a search.

    Raises:
        UsageError: where the text is no expression; the message underlines the place.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"an expression has at most {MAX_LENGTH} characters, not {len(text)}")
    parser = _Parser(text, holes)
    item = parser.chain()
    parser.expect_end()
    return parser.as_expression(item)


class _Parser:
    def __init__(self, text: str, holes: bool) -> None:
        self.text = text
        self.tokens = tokenize(text, holes)
        self.at = 0
        self.depth = 0

    def fail(self, message: str, span: Span) -> NoReturn:
        raise UsageError(point_out(self.text, span, message))

    def peek(self) -> Token:
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
        shown = json.dumps(item.value, ensure_ascii=False, default=str)
        self.fail(f"expected a component, not the value {shown}", item.span)

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
                self.check_weights(item, right)
                if left is not None:
                    item = self.place(self.as_expression(right) * left, start)
                elif weight is not None:
                    item = self.place(self.as_expression(item) * weight, start)
                elif isinstance(item.value, Hole) and item.value.is_value:
                    weighed = Stage(WEIGHTED, self.as_expression(right), weights=[item.value])
                    item = self.place(weighed, start)
                else:
                    self.fail("`*` weighs a component by a number, as in `0.3 * bm25`", (start, right.span[1]))
            elif self.take("%"):
                right = self.item()
                if not isinstance(right.value, int) or isinstance(right.value, bool):
                    self.fail("`%` cuts after a whole number of documents, as in `bm25 % 50`", right.span)
                if right.value < 0:
                    self.fail("`%` cuts after 0 documents or more", right.span)
                item = self.place(self.as_expression(item) % right.value, start)
            else:
                return item

    def check_weights(self, *items: _Item) -> None:
        """Refuse to weigh a sum where a weight of it, or the weight itself, is a hole."""
        for item, other in (items, items[::-1]):
            if isinstance(item.value, Stage) and is_sum(item.value):
                weights = item.value.options["weights"]
                holes = [other.value, *(weights if isinstance(weights, tuple) else ())]
                if any(isinstance(weight, Hole) for weight in holes):
                    self.fail("where weights are holes, give each part its one weight", item.span)

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
        if token.type == "path":
            self.at += 1
            return _Item(token.text, span)
        if token.type == "name":
            return self.name()
        if self.take("("):
            item = self.chain()
            self.expect(")", "to close this parenthesis")
            return item
        if self.take("["):
            return self.values(token.start)
        if self.take(HOLE):
            return self.hole(token.start)
        self.fail(f"expected a component or a value, not {_name(token)}; text that is no plain name needs quotes", span)

    def string(self, token: Token) -> str:
        text = token.text
        if text[0] == "'":
            inner = re.sub(r"\\(.)", lambda m: "'" if m[1] == "'" else m[0], text[1:-1], flags=re.DOTALL)
            text = '"' + re.sub(r'(\\.)|(")', lambda m: m[1] or '\\"', inner, flags=re.DOTALL) + '"'
        try:
            value = str(json.loads(text, strict=False))
            value.encode("utf-8")
        except ValueError as error:
            self.fail(f"malformed text: {error}", (token.start, token.end))
        if "\0" in value:
            self.fail("a text without NUL is needed", (token.start, token.end))
        return value

    def hole(self, start: int) -> _Item:
        token = self.peek()
        if token.type == "name":
            self.at += 1
            return self.place(Hole(kind=token.text), start)
        if not self.take("["):
            return self.place(Hole(), start)
        if self.peek().type == "range":
            return self.place(self.range(), start)
        choices = self.values(token.start, collapse=False)
        if not choices.value:
            self.fail("a hole needs something to choose from, as in `?[a, b]`, `?[0.4..2.0]`", choices.span)
        assert isinstance(choices.value, tuple)
        return self.place(Hole(choices=choices.value), start)

    def range(self) -> Hole:
        token = self.peek()
        span = (token.start, token.end)
        self.at += 1
        texts = token.text.split("..")
        if len(token.text) > MAX_DIGITS:
            self.fail(f"a range has at most {MAX_DIGITS} digits", span)
        whole = not any(c in text for text in texts for c in ".eE")
        low, high = (int(text) if whole else float(text) for text in texts)
        log = False
        if self.take(","):
            log = self.peek().text == "log"
            if not log:
                self.fail("behind a range only `log` can stand", (self.peek().start, self.peek().end))
            self.at += 1
        self.expect("]", "behind the range of a hole")
        if not low < high or high == float("inf"):
            self.fail("a range goes from a smaller to a larger number", span)
        if log and low <= 0:
            self.fail("a range in logarithms begins above 0", span)
        return Hole(ends=(low, high), log=log)

    def values(self, start: int, collapse: bool = True) -> _Item:
        values: list[Value] = []
        while not self.take("]"):
            if values:
                self.expect(",", "between the values of a list")
            value = self.chain().value
            values.append(_collapse(value) if collapse else value)
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
    return value.name if type(value) is Stage and not value.inputs and not value.options else value


def _number(value: Value) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _name(token: Token) -> str:
    return "the end" if token.type == "end" else f"`{token.text}`"

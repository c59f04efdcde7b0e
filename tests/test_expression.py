"""Printing and parsing are inverse; text, YAML and Python build equal objects; every fault is a UsageError with its place."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel.errors import UsageError
from spaniel.expression import Chain, Hole, Stage, from_data, parse, to_data

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4})?(/[a-z]{1,4})?", fullmatch=True).filter(
    lambda n: n not in {"true", "false", "null"}
)
OPTIONS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda n: n not in {"true", "false", "null", "inputs"}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)


def stages(children: st.SearchStrategy) -> st.SearchStrategy:
    values = st.one_of(SCALARS, children, st.lists(st.one_of(SCALARS, children), max_size=3))
    plain = st.builds(
        lambda name, inputs, options: Stage(name, *inputs, **options),
        NAMES,
        st.lists(children, max_size=2),
        st.dictionaries(OPTIONS, values, max_size=3),
    )
    weight = st.one_of(st.integers(-9, 9), st.floats(-100, 100))
    return st.one_of(
        plain,
        st.builds(lambda a, b: a >> b, children, children),
        st.builds(lambda a, k: a % k, children, st.integers(0, 10**6)),
        st.builds(lambda a, w: w * a, children, weight),
        st.builds(lambda a, b: a + b, children, children),
        st.builds(lambda a, b, w: Stage("weighted", a, b, weights=w), children, children, st.lists(weight, max_size=3)),
    )


EXPRESSIONS = st.recursive(st.builds(Stage, NAMES), stages, max_leaves=8)


@given(EXPRESSIONS)
@settings(max_examples=500, deadline=None)
def test_parsing_a_printed_expression_gives_it_back(expression) -> None:
    assert parse(str(expression)) == expression
    assert str(parse(str(expression))) == str(expression)


@given(EXPRESSIONS)
@settings(max_examples=300, deadline=None)
def test_yaml_gives_an_equal_expression(expression) -> None:
    text = yaml.safe_dump(to_data(expression), allow_unicode=True)
    assert from_data(yaml.safe_load(text)) == expression


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_arbitrary_text_parses_or_is_a_usage_error(text: str) -> None:
    try:
        expression = parse(text)
    except UsageError:
        return
    assert parse(str(expression)) == expression


@given(st.text("abk12.=()[],>%+*\"' -", max_size=40))
@settings(max_examples=1000, deadline=None)
def test_text_close_to_the_grammar_parses_or_is_a_usage_error(text: str) -> None:
    try:
        expression = parse(text)
    except UsageError:
        return
    assert parse(str(expression)) == expression


@given(
    st.recursive(
        SCALARS, lambda c: st.one_of(st.lists(c, max_size=3), st.dictionaries(st.text(max_size=4), c, max_size=2))
    )
)
@settings(max_examples=300, deadline=None)
def test_arbitrary_data_is_an_expression_or_a_usage_error(data) -> None:
    try:
        expression = from_data(data)
    except UsageError:
        return
    assert parse(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("bm25", Stage("bm25")),
        ("bm25(k=1000) >> mvp(k=100)", Stage("bm25", k=1000) >> Stage("mvp", k=100)),
        ("rrf(bm25, dense(encoder=minilm), k=60)", Stage("rrf", "bm25", Stage("dense", encoder="minilm"), k=60)),
        ("0.3 * bm25 + 0.7 * dense", 0.3 * Stage("bm25") + 0.7 * Stage("dense")),
        ("bm25 + dense", Stage("weighted", "bm25", "dense", weights=[1, 1])),
        ("(bm25 % 50) >> fullrank(lm=qwen)", (Stage("bm25") % 50) >> Stage("fullrank", lm="qwen")),
        ("bm25 % 50 >> x", Chain("bm25", Stage("cut", k=50), "x")),
        ("a >> b + c", Stage("a") >> (Stage("b") + Stage("c"))),
        ("0.5 * (0.5 * a + 2 * b)", Stage("weighted", "a", "b", weights=[0.25, 1.0])),
        ('a(x=[1, 2.5, "t u", true, null, b(c=d)])', Stage("a", x=[1, 2.5, "t u", True, None, Stage("b", c="d")])),
        ("a(x='it\\'s \"quoted\"')", Stage("a", x='it\'s "quoted"')),
        ("a(b=c >> d)", Stage("a", b=Stage("c") >> Stage("d"))),
    ],
)
def test_text_and_python_build_equal_expressions(text: str, python) -> None:
    assert parse(text) == python
    assert from_data(to_data(python)) == python


def test_types_of_values_are_part_of_equality() -> None:
    assert len({parse(t) for t in ("a(x=1)", "a(x=1.0)", "a(x=true)", 'a(x="1")')}) == 4


def test_order_of_options_is_not_part_of_equality() -> None:
    assert parse("a(x=1, y=2)") == parse("a(y=2, x=1)")
    assert hash(parse("a(x=1, y=2)")) == hash(parse("a(y=2, x=1)"))


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        ("bm25(k=1000 >> mvp", "not the value 1000", "1000"),
        ("bm25(k=1000", "or `)` after an argument", " "),
        ("bm25 >>", "not the end", " "),
        ("bm25(k=)", "not `)`", ")"),
        ("bm25(k=1, k=2)", "given twice", "k"),
        ("bm25(k=1, rrf)", "inputs come before options", "rrf"),
        ("bm25(10)", "needs the name of its option", "10"),
        ("bm25 % 5.5", "whole number", "5.5"),
        ("a * b", "by a number", "a * b"),
        ("bm25 dense", "expected an operator", "dense"),
        ('a(x="open)', "closing quote", '"'),
        ("a(x=10k)", "quotes", "1"),
        ("5 >> a", "expected a component", "5"),
        ("a$b", "unexpected '$'", "$"),
        ("", "not the end", ""),
    ],
)
def test_a_syntax_fault_is_underlined(text: str, said: str, marked: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    message, line, marks = str(caught.value).split("\n")
    assert said in message
    assert line == f"  {text}"
    start = marks.index("^")
    assert (line[start : start + marks.count("^")].strip() or " ") == (marked.strip() or " ")


@pytest.mark.parametrize("text", ["(" * 500 + "a" + ")" * 500, "a(b=" * 100 + "1" + ")" * 100, "9" * 5000, "[" * 900])
def test_deep_or_long_text_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {"a": 1}, b"x"])
def test_values_that_no_expression_holds_are_refused(value) -> None:
    with pytest.raises(UsageError, match="no value of an option"):
        Stage("a", x=value)


HOLES = st.one_of(
    st.builds(Hole),
    st.builds(Hole, kind=st.sampled_from(["rerank", "search_space"])),
    st.tuples(st.integers(-99, 99), st.integers(1, 9)).map(lambda p: Hole(ends=(p[0], p[0] + p[1]))),
    st.tuples(st.floats(1e-9, 1e9), st.floats(1.1, 9)).map(lambda p: Hole(ends=(p[0], p[0] * p[1]), log=True)),
    st.lists(
        st.one_of(SCALARS, EXPRESSIONS.filter(lambda e: str(e) not in "truefalsenull")), min_size=1, max_size=3
    ).map(lambda values: Hole(choices=tuple(v if not isinstance(v, str) else Stage("x", text=v) for v in values))),
)


@given(HOLES, EXPRESSIONS)
@settings(max_examples=300, deadline=None)
def test_expressions_with_holes_print_and_parse(hole: Hole, expression) -> None:
    for made in (
        Stage("a", b=hole, c=[1, hole]),
        Stage("a") >> hole,
        Stage("weighted", hole, expression, weights=[hole if hole.is_value else 1, 0.5]),
    ):
        assert parse(str(made), holes=True) == made
        with pytest.raises(UsageError, match="holes are for"):
            parse(str(made))


@given(st.text("abk12.=()[],>%+*?\"' -", max_size=40))
@settings(max_examples=1000, deadline=None)
def test_text_close_to_the_grammar_of_holes_parses_or_is_a_usage_error(text: str) -> None:
    try:
        expression = parse(text, holes=True)
    except UsageError:
        return
    assert parse(str(expression), holes=True) == expression


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("bm25(k1=?, b=?[0..1])", Stage("bm25", k1=Hole(), b=Hole(ends=(0, 1)))),
        ("bm25(k1=?[0.1..10, log])", Stage("bm25", k1=Hole(ends=(0.1, 10.0), log=True))),
        ("bm25 >> ?rerank", Stage("bm25") >> Hole(kind="rerank")),
        ("?[bm25, b(k=?)]", Hole(choices=(Stage("bm25"), Stage("b", k=Hole())))),
        (
            "?[0..1] * a + 0.5 * b",
            Stage("weighted", "a", "b", weights=[Hole(ends=(0, 1)), 0.5]),
        ),
        ("?[a, b] * 0.5", Stage("weighted", Hole(choices=(Stage("a"), Stage("b"))), weights=[0.5])),
    ],
)
def test_holes_from_text(text: str, python) -> None:
    assert parse(text, holes=True) == python


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        ("a(k=?[2..1])", "smaller to a larger", "2..1"),
        ("a(k=?[0..1, log])", "begins above 0", "0..1"),
        ("a(k=?[1..2, lin])", "only `log`", "lin"),
        ("a(k=?[])", "something to choose from", "[]"),
        ("? * (0.5 * a + b)", "its one weight", "0.5 * a + b"),
        ("a(k=0..1)", "not `0..1`", "0..1"),
    ],
)
def test_a_fault_of_a_hole_is_underlined(text: str, said: str, marked: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, holes=True)
    message, line, marks = str(caught.value).split("\n")
    assert said in message
    assert line[marks.index("^") : marks.index("^") + marks.count("^")].strip("()") == marked
    with pytest.raises(UsageError, match="no plain data"):
        to_data(Stage("a") >> Hole())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("dense(model=./my-model)", "./my-model"),
        ("dense(model=../models/a-b.c_d)", "../models/a-b.c_d"),
        ("dense(model=/srv/models/m.bin, k=3)", "/srv/models/m.bin"),
        ("dense(model=~/m)", "~/m"),
        ("dense(model=./ü/模型)", "./ü/模型"),
    ],
)
def test_a_path_needs_no_quotes(text: str, path: str) -> None:
    found = parse(text)
    assert found.stages[0].options["model"] == path
    assert f'model="{path}"' in str(found)
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dense(model=C:\\models)", 'needs quotes: "C:\\\\models"'),
        ("dense(model=hub:my-model)", 'needs quotes: "hub:my-model"'),
        ("./my-model >> bm25", "not the value"),
        ("bm25(./my-model)", "needs the name of its option"),
        ('dense(model="a\\u0000b")', "without NUL"),
        ('dense(model="\\ud800")', "malformed text"),
    ],
)
def test_text_that_is_no_path_says_the_quoted_form(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_texts_that_no_option_can_hold(value: str) -> None:
    for held in (value, [value]):
        with pytest.raises(UsageError, match=r"NUL|lone surrogate"):
            Stage("a", x=held)

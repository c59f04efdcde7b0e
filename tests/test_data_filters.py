"""Filters: SQLite's answer beside that of a plain evaluator, and what is said about bad ones."""

from __future__ import annotations

import json
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaniel import Corpus, Document, UsageError
from spaniel.data.filters import And, Comparison, Not, Or, filter_mask, parse_filter, to_sql

MISSING = object()
ORDER = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
FIELDS = ("year", "domain", "a.b", "größe", "`publication year`", "tags")


def holds(node: Any, metadata: Any) -> bool:
    """Evaluate a filter as its documentation says."""
    if isinstance(node, Not):
        return not holds(node.part, metadata)
    if isinstance(node, And):
        return all(holds(part, metadata) for part in node.parts)
    if isinstance(node, Or):
        return any(holds(part, metadata) for part in node.parts)
    found: Any = metadata
    for name in node.field:
        found = found.get(name, MISSING) if isinstance(found, dict) else MISSING
    if found is MISSING:
        return None in node.values
    candidates = found if isinstance(found, list) else [found]
    compare = ORDER["=" if node.operator == "in" else node.operator]
    return any(kind(one) == kind(v) != "other" and compare(one, v) for one in candidates for v in node.values)


def kind(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "other"


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.sampled_from([0, 1, 2000, 1.0, 0.5, -3]),
    st.floats(-1e6, 1e6),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=4),
    st.sampled_from(["news", "law", "2000", "true", "null"]),
)
nested = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.sampled_from("bc"), scalars, max_size=2))
metadata = st.dictionaries(
    st.sampled_from(["year", "domain", "a", "größe", "publication year", "tags"]), nested, max_size=5
)


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@st.composite
def comparisons(draw: Any) -> str:
    field = draw(st.sampled_from(FIELDS))
    if draw(st.booleans()):
        values = ", ".join(written(v) for v in draw(st.lists(scalars, min_size=1, max_size=3)))
        return f"{field} {draw(st.sampled_from(['in', 'not in', 'IN']))} [{values}]"
    value = draw(scalars)
    signs = ["=", "!="] if value is None or isinstance(value, bool) else ["=", "!=", "<", "<=", ">", ">="]
    return f"{field} {draw(st.sampled_from(signs))} {written(value)}"


filters = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from(["and", "or", "AND"]), inner).map(lambda parts: " ".join(parts)),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(documents=st.lists(metadata, min_size=5, max_size=20), texts=st.lists(filters, min_size=5, max_size=10))
def test_sqlite_answers_as_a_plain_evaluator(documents: list[Any], texts: list[str]) -> None:
    corpus = Corpus.from_documents(Document(f"d{99 - n}", "", "", one) for n, one in enumerate(documents))
    for text in texts:
        node = parse_filter(text)
        assert filter_mask(corpus, text).tolist() == [holds(node, one) for one in documents], text


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(max_size=30), filters.flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[:n]))))
def test_any_text_is_a_filter_or_a_usage_error(text: str) -> None:
    try:
        parse_filter(text)
    except UsageError as error:
        underlined = "^" in str(error)
    else:
        underlined = True
    assert underlined


def test_precedence() -> None:
    a, b, c = (Comparison((name,), "=", (1,)) for name in "abc")
    assert parse_filter("a = 1 or b = 1 and not c = 1") == Or((a, And((b, Not(c)))))
    assert parse_filter("(a = 1 or b = 1) and c != 1") == And((Or((a, b)), Not(c)))
    assert parse_filter("not not a = 1") == a
    assert parse_filter("a.b.`c d` in ['x', 2]") == Comparison(("a", "b", "c d"), "in", ("x", 2))


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("year >= ", "expected a value, not the end", 8),
        ("year 2000", "expected a comparison", 5),
        ("domain = news", "texts stand in quotes", 9),
        ("year >= 2000 domain = 'a'", "expected `and`, `or` or the end", 13),
        ("(year = 1", "expected `)`", 9),
        ("year in 3", "expected a list in brackets", 8),
        ("year in [1 2]", "expected `,` or `]`", 11),
        ("year in []", "expected a value", 9),
        ("year < true", "`<` compares numbers or texts", 5),
        ("and = 1", "expected the name of a field", 0),
        ("a = 'open", "a quote that is not closed", 4),
        ("a = 1; drop table documents", "unexpected ';'", 5),
        ('`a"b` = 1', "no quotes", 0),
        ("a = 1e999", "too large", 4),
        ("", "expected the name of a field, not the end", 0),
    ],
)
def test_a_bad_filter_is_underlined(text: str, message: str, place: int) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    first, line, marks = str(caught.value).split("\n")
    assert message in first
    assert line[2:] == text
    assert marks.index("^") == 2 + place


def test_limits() -> None:
    with pytest.raises(UsageError, match="nested deeper"):
        parse_filter("(" * 60 + "a = 1" + ")" * 60)
    with pytest.raises(UsageError, match="at most 200000 characters"):
        parse_filter("a = 1 or " * 50000 + "a = 1")
    corpus = Corpus.from_documents([Document("a", "", "", {"n": 7})])
    with pytest.raises(UsageError, match="at most 2000 tests, not 2001"):
        filter_mask(corpus, " and ".join(f"n < {n}" for n in range(2001)))
    with pytest.raises(UsageError) as caught:
        parse_filter("a = 1 or " * 9000 + "a == 1")
    assert len(str(caught.value)) < 700, "of a long filter the place of the fault is shown"
    assert str(caught.value).split("\n")[1][str(caught.value).split("\n")[2].index("^")] == "="


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (" or ".join(f"n = {n}" for n in range(999)), [7]),
        (" or ".join(f"n = {n}" for n in range(5000)), [7, 1007]),
        (" and ".join(f"n != {n}" for n in range(999)), [1007]),
        (" or ".join(f"n < {n}" for n in range(999)), [7]),
        (" and ".join(f"n > {n / 1000}" for n in range(1999)), [7, 1007]),
        (" or ".join(f'f{n} = "x" or not n >= {n}' for n in range(900)), [7]),
        ("n in [" + ", ".join(map(str, range(10_000))) + "]", [7, 1007]),
        (" or ".join("n < 8" for _ in range(5000)), [7]),
        (" and ".join(f"n < {n}" for n in range(500, 520)), [7]),
        (" and ".join(f"n < {n}" for n in range(500, 521)), [7]),
        ("tags in [" + ", ".join(f'"t{n}"' for n in range(10_000)) + "]", [7]),
        ("not " * 20_000 + "n = 7", [7]),
        ("not " * 20_001 + "n = 7", [1007]),
        ("(" * 49 + "n = 7" + ")" * 49, [7]),
        ("not (" * 49 + "n = 7" + ")" * 49, [1007]),
        ("n = 7 and not (n = 8 or (" * 23 + "n = 9" + "))" * 23, [7]),
    ],
)
def test_long_and_deep_filters_are_answered(text: str, passed: list[int]) -> None:
    numbers = [7, 1007]
    corpus = Corpus.from_documents(
        [Document("d9", metadata={"n": 7, "tags": ["no", "t7"]}), Document("d8", metadata={"n": 1007, "tags": ["no"]})]
    )
    assert [n for n, through in zip(numbers, filter_mask(corpus, text).tolist(), strict=True) if through] == passed


def test_true_is_not_one_beside_it() -> None:
    corpus = Corpus.from_documents([Document("b", "", "", {"n": 1}), Document("a", "", "", {"n": True})])
    assert filter_mask(corpus, "n = 1 and not n = true").tolist() == [True, False]
    assert filter_mask(corpus, "n < 2 or n = true").tolist() == [True, True]


def test_nothing_of_a_filter_becomes_sql() -> None:
    text = "`x') or 1=1 --` = \"' or 1=1 --\" and y = 'z'"
    node = parse_filter(text)
    assert isinstance(node, And)
    asked = [to_sql(part) for part in node.parts if isinstance(part, Comparison)]
    assert not any("1=1" in condition for condition, _ in asked)
    assert any("1=1" in str(value) for _, values in asked for value in values)
    corpus = Corpus.from_documents([Document("a", "", "", {"y": "z"})])
    assert filter_mask(corpus, text).tolist() == [False]

"""The space of pipelines: domains as fields declare them, faults with their places, and every candidate runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from spaniel import Config, Context, Stage, UsageError, parse
from spaniel.testing import contract
from spaniel_search.candidates import digest, from_json, to_json
from spaniel_search.pipelines.domains import Range, declared_domain

TEXTS = [
    "bm25(k1=?, b=?)",
    "bm25(method=?[lucene, bm25l], k1=?[0.5..2.0]) % 50",
    "?[bm25(k1=?), rrf(bm25, bm25(b=?), k=?)] >> ?[cut(k=?[5..50]), null]",
    "?[0..1] * bm25 + ?[0.1..10, log] * bm25(analyzer=?[words, char-ngrams(n=?[3..5])])",
    "weighted(bm25, bm25(b=0.1), norm=?, missing=?, weights=[1, ?[0..2]])",
    "rrf(?[bm25, bm25(k1=2.0)], bm25(b=0.0))",
]


def space_of(context: Context, text: str, **options: Any) -> Any:
    return context.create("search_space", Stage("pipelines", expression=text, **options))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(tmp_path_factory.mktemp("store"))


test_simple = contract("search_space/pipelines", options={"expression": TEXTS[0]})
test_conditional = contract("search_space/pipelines", options={"expression": TEXTS[2]})
test_weights = contract("search_space/pipelines", options={"expression": TEXTS[3]})


@given(st.sampled_from(TEXTS), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_candidates_are_valid_and_bind(context: Context, text: str, seed: int) -> None:
    space, rng = space_of(context, text), np.random.default_rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    for candidate in (first, space.mutate(first, rng), space.cross(first, second, rng), space.first()):
        space.validate(candidate)
        context.pipeline(space.build(candidate, 0))
        assert space.at(space.place(candidate)) == candidate
        assert from_json(space, to_json(candidate)) == candidate
        assert digest(space, json.loads(to_json(candidate))) == digest(space, candidate)
    assert space.mutate(first, rng) != first
    for name, value in space.cross(first, second, rng).items():
        assert value in (first.get(name), second.get(name))


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("bm25(k1=?, b=?)", "bm25(k1=1.2, b=0.75)"),
        ("bm25(method=?, k=?)", "bm25(method=lucene, k=1000)"),
        ("bm25(analyzer=?)", "bm25(analyzer=english)"),
        ("?[bm25(b=?[0.1..0.3]), rrf(bm25, bm25)] % 7", "bm25(b=0.2) % 7"),
        ("bm25 >> ?[null, cut(k=5)]", "bm25"),
        ("weighted(bm25, bm25, weights=[?[0..1], 0.5], norm=?[z-score, none])", None),
    ],
)
def test_the_beginning_is_what_the_defaults_are(context: Context, text: str, built: str | None) -> None:
    space = space_of(context, text)
    expected = built or "weighted(bm25, bm25, weights=[0.5, 0.5], norm=z-score)"
    assert space.build(space.first(), 0) == parse(expected)


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        ("bm25(kk=?)", "has no option `kk`, did you mean `k`", "kk=?"),
        ("bm26(k=?)", "bm26", "bm26"),
        ("bm25(k1=?[-1..2])", "greater than or equal to 0, not -1.0", "k1=?[-1..2]"),
        ("bm25(b=?[0.5..1.5])", "less than or equal to 1, not 1.5", "b=?[0.5..1.5]"),
        ("bm25(k=?[0.5..1.5])", "whole number", "?[0.5..1.5]"),
        ("bm25(method=?[lucene, bm26])", "not 'bm26'", "bm26"),
        ("bm25(method=?[0..1])", "no number", "?[0..1]"),
        ("bm25(k1=?rerank)", "where a component stands", "?rerank"),
        ("bm25 >> ?encode", "a encode cannot stand here", "?encode"),
        ("bm25 >> ?[0..1]", "here a component stands", "?[0..1]"),
        ("bm25 >> ?[cut(k=3), 5]", "5 is none", "?[cut(k=3), 5]"),
        ("?[null, bm25]", "None is none", "?[null, bm25]"),
        ("bm25 >> ?[cut(k=3), bm25]", "cannot follow another stage", "bm25"),
        ("?[cut(k=3), bm25]", "needs a run to work on", "cut(k=3)"),
        ("0.5 * bm25 + ? * bm25", "open and it has no default", "?"),
        ("bm25(k1=1.0)", "no hole", "bm25(k1=1.0)"),
        ("dense(encoder=?[bm25])", "bm25", "bm25"),
    ],
)
def test_faults_are_found_at_once_and_underlined(context: Context, text: str, said: str, marked: str) -> None:
    with pytest.raises(UsageError) as caught:
        space_of(context, text)
    message, line, marks = str(caught.value).split("\n")[-3:]
    assert said in message
    start = marks.index("^")
    assert line[start : start + marks.count("^")] == marked


def test_several_faults_come_in_one_message(context: Context) -> None:
    with pytest.raises(UsageError) as caught:
        space_of(context, "bm25(k1=?[-1..2], kk=?) >> nope")
    assert str(caught.value).count("^\n") + 1 == 3


class Fields(Config):
    """One field of each sort."""

    share: float = Field(0.5, description="", ge=0, le=1)
    inside: float = Field(0.5, description="", gt=0, lt=1)
    rate: float = Field(1e-3, description="", ge=1e-6, le=1)
    count: int = Field(100, description="", ge=1)
    few: int = Field(3, description="", ge=1, lt=6)
    capped: float = Field(5.0, description="", le=20)
    flag: bool = Field(True, description="")
    way: Literal["a", "b", 3] = Field("a", description="")
    either: Literal["auto"] | bool = Field("auto", description="")
    maybe: int | None = Field(None, description="", ge=1, le=9)
    open: float = Field(0.0, description="")
    text: str = Field("x", description="")


@pytest.mark.parametrize(
    ("field", "domain"),
    [
        ("share", Range(0.0, 1.0, False)),
        ("rate", Range(1e-6, 1.0, False, log=True)),
        ("count", Range(10, 1000, True, log=True)),
        ("few", Range(1, 5, True)),
        ("capped", Range(0.5, 20, False, log=True)),
        ("flag", (False, True)),
        ("way", ("a", "b", 3)),
        ("either", ("auto", False, True)),
        ("maybe", Range(1, 9, True)),
    ],
)
def test_domains_are_what_fields_declare(field: str, domain: Any) -> None:
    schema = Fields.model_json_schema()["properties"][field]
    assert declared_domain(schema, 3) == domain


def test_excluded_ends_are_kept_off() -> None:
    domain = declared_domain(Fields.model_json_schema()["properties"]["inside"], 3)
    assert isinstance(domain, Range)
    assert 0 < domain.low < 0.01
    assert 0.99 < domain.high < 1


@pytest.mark.parametrize("field", ["open", "text"])
def test_fields_without_bounds_need_a_range(field: str) -> None:
    with pytest.raises(UsageError, match="give"):
        declared_domain(Fields.model_json_schema()["properties"][field], 3)


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e4), st.booleans(), st.booleans(), st.integers(1, 15), st.floats(0, 1))
def test_places_and_values_of_ranges_belong_together(
    low: float, factor: float, whole: bool, log: bool, digits: int, unit: float
) -> None:
    ends = (max(1, int(low)), max(1, int(low)) + int(factor)) if whole else (low, low * factor)
    domain = Range(*ends, whole, log, digits)
    value = domain.value(unit)
    assert domain.holds(value)
    assert domain.value(domain.unit(value)) == value
    assert (domain.value(0.0), domain.value(1.0)) == ends or not whole


def test_samples_cover_a_range_evenly(context: Context) -> None:
    space, rng = space_of(context, "bm25(k1=?[0.01..100, log], k=?[1..4])"), np.random.default_rng(0)
    made = [space.sample(rng) for _ in range(2000)]
    below = np.mean([candidate["bm25.k1"] < 1 for candidate in made])
    assert 0.46 < below < 0.54, "in logarithms, 1 is in the middle of 0.01..100"
    assert np.bincount([candidate["bm25.k"] for candidate in made])[1:].min() > 430


@pytest.mark.parametrize(
    "odd",
    [
        {"bm25.k1": 1.0},
        {"bm25.k1": 1.0, "bm25.b": 2.0},
        {"bm25.k1": "1", "bm25.b": 0.5},
        {"bm25.k1": 1.0, "bm25.b": 0.5, "x": 1},
        {"bm25.k1": True, "bm25.b": 0.5},
    ],
)
def test_what_is_no_candidate(context: Context, odd: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        space_of(context, "bm25(k1=?, b=?)").validate(odd)
    with pytest.raises(UsageError):
        from_json(space_of(context, "bm25(k1=?, b=?)"), json.dumps(odd))


def test_a_kind_offers_what_can_stand_there(tmp_path: Path) -> None:
    from spaniel.plugins import load_registry
    from spaniel.testing import oracles

    registry = load_registry(warn=False)
    registry.register(oracles, "oracles")
    space: Any = space_of(Context(tmp_path, registry=registry), "bm25 >> ?rerank")
    (dimension,) = space.dimensions
    names = [str(choice) for choice in dimension.domain]
    assert "failing" in names, "its options all have defaults"
    assert not {"spy", "oracle", "cut"} & set(names), "they need options of their own"
    retrievers = {str(choice) for choice in space_of(Context(tmp_path), "?").dimensions[0].domain}
    assert "bm25" in retrievers
    assert "rrf" not in retrievers


def test_a_stage_is_left_out_only_of_a_chain(context: Context) -> None:
    space = space_of(context, "bm25 >> rrf(cut(k=3) >> ?[null, cut(k=?[1..2])], cut(k=1))")
    assert space.build(space.first(), 0) == parse("bm25 >> rrf(cut(k=3), cut(k=1))")
    with pytest.raises(UsageError, match="None is none"):
        space_of(context, "bm25 >> rrf(?[null, cut(k=3)], cut(k=1))")

"""Every fault of a pipeline is found before anything is loaded, in one message with the place underlined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field
from spaniel import Component, Config, Stage, UsageError, hookimpl, ref
from spaniel.config import Expression
from spaniel.expression import from_data, to_data
from spaniel.pipeline import bind, bind_pipeline
from spaniel.plugins import Registry

HERE = __name__


class Words(Config):
    """Options of a retriever."""

    k: int = Field(10, description="documents", ge=1)
    method: Literal["one", "two"] = Field("one", description="variant")
    encoder: Expression = ref("encode", "tiny", gives="dense", description="encodes")


class Fused(Config):
    """Options of a fusion."""

    inputs_field: ClassVar[str] = "systems"

    systems: tuple[Expression, ...] = ref(("retrieve", "rerank"), description="the fused")


class Plugin:
    """Declarations alone: their factories do not exist, so binding cannot have loaded them."""

    @hookimpl
    def encode(self) -> Iterator[Component]:
        yield Component("tiny", factory="nowhere:Tiny", summary="a dense encoder", gives=("dense",))
        yield Component("thin", factory="nowhere:Thin", summary="a sparse encoder", gives=("sparse",))

    @hookimpl
    def retrieve(self) -> Iterator[Component]:
        config = f"{HERE}:Words"
        yield Component("words", config=config, factory="nowhere:Words", summary="a retriever")
        yield Component("feedback", factory="nowhere:Prf", summary="can use a run", follows="may")
        yield Component("needy", factory="nowhere:Prf", summary="needs a run", follows="must")
        yield Component("fused", config=f"{HERE}:Fused", factory="nowhere:Fused", summary="a fusion")
        yield Component("preset", config=config, factory="nowhere:Words", summary="words with k=3", options={"k": 3})
        yield Component("twin", factory="nowhere:Twin", summary="a retriever with a reranker's name")

    @hookimpl
    def rerank(self) -> Iterator[Component]:
        yield Component("better", factory="nowhere:Better", summary="a reranker")
        yield Component("twin", factory="nowhere:Twin", summary="a reranker with a retriever's name")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.register(Plugin(), "test-plugin")
    return registry


@pytest.mark.parametrize(
    ("text", "said", "marked"),
    [
        ("word", "did you mean `words`", "word"),
        ("words(kk=3)", "did you mean `k`", "kk=3"),
        ("words(k=0)", "greater than or equal to 1, not 0", "k=0"),
        ("words(k=many)", "not 'many'", "k=many"),
        ("words(method=three)", "'one' or 'two'", "method=three"),
        ("words(encoder=thin)", "gives sparse; here a component is needed that gives dense", "thin"),
        ("words(encoder=words)", "is of the kind retrieve", "words"),
        ("words(encoder=tiny >> thin)", "one component, not a chain", "tiny >> thin"),
        ("words(words)", "takes no pipelines by position", "words(words)"),
        ("better(x=1)", "has no options", "better(x=1)"),
        ("words >> words", "cannot follow another stage", "words"),
        ("better", "needs a run to work on", "better"),
        ("needy >> better", "needs a run to work on", "needy"),
        ("fused(words, better)", "do not go together", "fused(words, better)"),
        ("words >> fused(words, feedback)", "cannot follow another stage", "fused(words, feedback)"),
    ],
)
def test_a_fault_is_underlined(registry: Registry, text: str, said: str, marked: str) -> None:
    with pytest.raises(UsageError) as caught:
        bind_pipeline(text, registry)
    message, line, marks = str(caught.value).split("\n")
    assert said in message
    start = marks.index("^")
    assert line[start : start + marks.count("^")] == marked


def test_all_faults_come_in_one_message(registry: Registry) -> None:
    with pytest.raises(UsageError) as caught:
        bind_pipeline("words(kk=1) >> nothing(a=1) >> better(z=2)", registry)
    assert all(said in str(caught.value) for said in ("`kk`", "`nothing`", "has no options"))


@pytest.mark.parametrize(
    "text",
    [
        "words",
        "words >> better",
        "words >> feedback >> better",
        "words >> needy",
        "feedback",
        "fused(words, feedback)",
        "words >> fused(better, feedback)",
        "words >> fused(better, needy) >> better",
        "fused(words >> better, fused(words, words(k=3)))",
        "test-plugin/words(encoder=test-plugin/tiny)",
    ],
)
def test_what_fits_is_accepted(registry: Registry, text: str) -> None:
    pipeline = bind_pipeline(text, registry)
    assert len(pipeline.stages) == len(pipeline.expression.stages)


def test_text_yaml_and_python_bind_to_the_same(registry: Registry) -> None:
    text = "words(k=5, encoder=tiny) >> better"
    python = Stage("words", k=5, encoder="tiny") >> Stage("better")
    descriptions = [bind_pipeline(e, registry).description for e in (text, python, from_data(to_data(python)))]
    assert descriptions[0] == descriptions[1] == descriptions[2]


def test_the_description_has_every_option_and_version(registry: Registry) -> None:
    described = bind("retrieve", "words(k=7)", registry).description
    assert described["component"] == "test-plugin/words"
    assert described["config"]["k"] == 7
    assert described["config"]["method"] == "one"
    assert described["config"]["encoder"]["component"] == "test-plugin/tiny"


def test_options_set_beforehand_give_way_to_the_users(registry: Registry) -> None:
    assert bind("retrieve", "preset", registry).description["config"]["k"] == 3
    assert bind("retrieve", "preset(k=4)", registry).description["config"]["k"] == 4


def test_of_two_stages_with_one_name_the_place_decides(registry: Registry) -> None:
    kinds = [bound.kind for bound in bind_pipeline("twin >> twin", registry).stages]
    assert kinds == ["retrieve", "rerank"]


def test_equal_options_have_one_digest_whatever_their_order(registry: Registry) -> None:
    def digest(text: str) -> Any:
        return bind("retrieve", text, registry).digest

    assert digest("words(k=10)") == digest("words")
    assert digest("words(k=2, method=two)") == digest("words(method=two, k=2)")
    assert digest("words(k=2)") != digest("words(k=3)")

"""Recorded answers: asked for once, found by the whole request, kept through failures and kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import ArtifactError, Component, Context, Stage, UsageError, hookimpl
from spaniel.plugins import load_registry
from spaniel_lm.listwise.constraint import PermutationConstraint
from spaniel_lm.protocol import Answer, Generation, Message, Scored
from spaniel_lm.remote.sending import Failure, RequestsFailed, Tally
from spaniel_lm.requests import read_records


class Echoing:
    """A model at hand that answers by a rule, counts what it is asked, and fails where it is told to."""

    asked: list[str]
    window = None
    capabilities = frozenset({"generate", "sample", "logprobs", "chat", "processors"})

    def __init__(self, config: Any, context: Context) -> None:
        self.context = context
        self.asked = []
        self.bad: set[str] = set()
        self.version = "1"

    def fingerprint(self) -> dict[str, str]:
        return {"version": self.version}

    def generate(self, prompts: Any, settings: Generation = Generation(), **more: Any) -> list[Answer]:  # noqa: B008
        self.asked += map(str, prompts)
        self.context.count("model calls", len(prompts))
        made = [None if p in self.bad else Answer(f"{p}!{settings.seed}", prompt_tokens=3) for p in prompts]
        failures = [Failure(at, "scripted", "no", 1) for at, one in enumerate(made) if one is None]
        if failures:
            raise RequestsFailed(made, failures, Tally())
        return made  # type: ignore[return-value]

    def logprobs(self, prompts: Any, continuations: Any) -> list[Scored]:
        self.asked += [f"{p}|{c}" for p, c in zip(prompts, continuations, strict=True)]
        return [Scored(np.array([-len(p), -0.1], np.float32), (1, 2), 5) for p in prompts]


class AtHand:
    @hookimpl
    def language_model(self) -> Any:
        yield Component("echoing", factory=f"{__name__}:Echoing", summary="answers by a rule")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes a new session on one store, and returns its recorded model and the one inside."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())

    def make(**options: Any) -> Any:
        registry = load_registry(warn=False)
        registry.register(AtHand(), "at-hand")
        context = Context(tmp_path / "store", device="cpu", registry=registry)
        model = context.create("language_model", Stage("recorded", lm="echoing", **options))
        return context, model, model.inner

    return make


def _this() -> Any:
    import types

    module = types.ModuleType(__name__)
    module.Echoing = Echoing  # type: ignore[attr-defined]
    return module


def texts(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers]


def test_what_was_answered_is_not_asked_again(session: Callable[..., Any]) -> None:
    context, model, inner = session()
    with context.stage("first") as stage:
        assert texts(model.generate(["a", "b", "a"])) == ["a!None", "b!None", "a!None"]
    assert inner.asked == ["a", "b"]
    assert stage.cost == {"model calls": 2}
    context, model, inner = session()
    with context.stage("second") as stage:
        assert texts(model.generate(["b", "c", "a"])) == ["b!None", "c!None", "a!None"]
    assert inner.asked == ["c"]
    assert stage.cost == {"model calls": 3, "answers replayed": 2}
    assert stage.replayed > 0


def test_the_whole_request_is_the_key(session: Callable[..., Any]) -> None:
    _, model, inner = session()
    ways: list[Callable[[], Any]] = [
        lambda: model.generate(["a"]),
        lambda: model.generate(["a"], Generation(5)),
        lambda: model.generate(["a"], Generation(stop=("x",))),
        lambda: model.generate(["a"], Generation(temperature=1.0)),
        lambda: model.generate(["a"], Generation(temperature=1.0, seed=4)),
        lambda: model.generate([(Message("user", "a"),)]),
        lambda: model.generate([(1, 2)]),
        lambda: model.generate(["a"], constraints=PermutationConstraint([[1], [2]], [[3], [4]])),
        lambda: model.generate(["a"], constraints=PermutationConstraint([[2], [1]], [[3], [4]])),
        lambda: model.logprobs(["a"], ["b"]),
        lambda: model.logprobs(["a"], [[1, 2]]),
    ]
    for number, ask in enumerate(ways, 1):
        ask()
        assert len(inner.asked) == number
    for ask in ways:
        ask()
    assert len(inner.asked) == len(ways)
    model.generate(["a"], Generation(temperature=1.0, seed=0))  # the session's own seed
    assert len(inner.asked) == len(ways)


def test_log_probabilities_come_back_to_the_bit(session: Callable[..., Any]) -> None:
    _, model, inner = session()
    first = model.logprobs(["abc"], ["b"])[0]
    _, model, inner = session()
    again = model.logprobs(["abc"], ["b"])[0]
    assert not inner.asked
    assert (again.tokens, again.prompt_tokens) == ((1, 2), 5)
    assert np.array_equal(first.logprobs, again.logprobs)


def test_another_model_is_another_record(session: Callable[..., Any]) -> None:
    _, model, _ = session()
    model.generate(["a"])
    _, model, inner = session()
    inner.version = "2"
    model.generate(["a"])
    assert inner.asked == ["a"]


def test_answers_outlive_the_failure_of_others(session: Callable[..., Any]) -> None:
    _, model, inner = session(chunk=2)
    inner.bad = {"d"}
    with pytest.raises(RequestsFailed):
        model.generate(["a", "b", "c", "d", "e", "f"])
    assert inner.asked == ["a", "b", "c", "d"]
    # In a session of its own, and in a call that asks for something else, too.
    _, model, inner = session(chunk=2)
    assert texts(model.generate(["c", "x", "a"])) == ["c!None", "x!None", "a!None"]
    assert inner.asked == ["x"]
    _, model, inner = session(chunk=2)
    assert len(model.generate(["a", "b", "c", "d", "e", "f", "x"])) == 7
    assert sorted(inner.asked) == ["d", "e", "f"]


KILLED = """
import os, sys
from spaniel import Component, Context, Stage, hookimpl
from spaniel.plugins import load_registry
from spaniel_lm.protocol import Answer
class Model:
    window = None
    capabilities = frozenset({"generate"})
    def __init__(self, config, context): pass
    def fingerprint(self): return {"version": "1"}
    def generate(self, prompts, settings=None, **more):
        with open(sys.argv[2], "a") as book:
            book.writelines(p + "\\n" for p in prompts)
        if "p5" in prompts and sys.argv[3] == "die":
            os.kill(os.getpid(), 9)
        return [Answer(p) for p in prompts]
class AtHand:
    @hookimpl
    def language_model(self):
        yield Component("echoing", factory="__main__:Model", summary="answers")
registry = load_registry(warn=False)
registry.register(AtHand(), "at-hand")
context = Context(sys.argv[1], registry=registry)
model = context.create("language_model", Stage("recorded", lm="echoing", chunk=2))
print(*[one.text for one in model.generate([f"p{n}" for n in range(8)])])
"""


def test_a_kill_costs_one_chunk_at_the_most(tmp_path: Path) -> None:
    script, book = tmp_path / "killed.py", tmp_path / "book"
    script.write_text(KILLED)

    def run(how: str) -> Any:
        command = [sys.executable, str(script), str(tmp_path / "store"), str(book), how]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ})

    assert run("die").returncode == -9
    assert run("live").stdout.split() == [f"p{n}" for n in range(8)]
    asked = book.read_text().split()
    assert asked == ["p0", "p1", "p2", "p3", "p4", "p5", "p4", "p5", "p6", "p7"]


def test_a_damaged_record_is_named(session: Callable[..., Any]) -> None:
    context, model, _ = session()
    model.generate(["a"])
    part = next(context.store.root.rglob("part-*.jsonl"))
    part.chmod(0o644)
    part.write_text(part.read_text().replace("a!", "b!"))
    _, model, _ = session()
    with pytest.raises(ArtifactError, match="part-00000"):
        model.generate(["a"])


def test_what_cannot_be_recorded_is_refused_before_it_is_asked(session: Callable[..., Any]) -> None:
    _, model, inner = session()
    with pytest.raises(UsageError, match="logits processors cannot be recorded"):
        model.generate(["a"], processors=[lambda tokens, scores: scores])
    with pytest.raises(UsageError, match="no fingerprint"):
        model.generate(["a"], constraints=object())
    with pytest.raises(UsageError, match="cannot give hidden states"):
        model.hidden(["a"], [0])
    with pytest.raises(UsageError, match="continuation 0 is empty"):
        model.logprobs(["a"], [""])
    assert not inner.asked


def test_replay_gives_what_was_exported(
    lm_model: Callable[..., Any], lm_models: Callable[[str], Path], run_cli: Any, tmp_path: Path
) -> None:
    lm = f'recorded(lm=transformers(model="{lm_models("chat")}"))'
    asked = run_cli("lm", "generate", lm, "the dog", "cat", "--max-tokens", "5", "--json").json
    file = tmp_path / "answers.jsonl"
    assert run_cli("lm", "export", lm, str(file)).stdout == f"wrote 2 answers to {file}\n"
    assert len(list(read_records(file))) == 2
    replay = f'replay(path="{file}")'
    again = run_cli("lm", "generate", replay, "cat", "the dog", "--max-tokens", "5", "--json").json
    assert again["answers"] == asked["answers"][::-1]
    assert again["cost"].pop("answers replayed") == 2
    assert again["cost"]["model calls"] == pytest.approx(2)
    assert again["cost"]["model seconds"] == pytest.approx(asked["cost"]["model seconds"])
    other = run_cli("lm", "generate", replay, "cat", "--max-tokens", "6")
    assert other.exit_code == 2
    assert "holds no answer to this request" in other.stderr
    file.write_text(json.dumps({"key": 1}) + "\n")
    assert "line 1: no recorded answer" in run_cli("lm", "generate", replay, "cat").stderr


def test_orders_asked_for_as_json_are_replayed_as_such(tmp_path: Any, lm_context: Context) -> None:
    prompt = {"ask": "answer", "prompt": "p"}
    for schema in (None, '{"type": "object"}'):
        settings = Generation(8, schema=schema)
        assert ("schema" in settings.to_json()) == (schema is not None)
        request = {**prompt, "settings": settings.to_json()}
        record = {"request": request, "result": Answer("x").to_json(), "key": "k", "seconds": 0.0, "cost": {}}
        path = tmp_path / f"{schema is None}.jsonl"
        path.write_text(json.dumps(record) + "\n")
        model = lm_context.create("language_model", Stage("replay", path=str(path)))
        assert ("schema" in model.capabilities) == (schema is not None)
        assert model.generate(["p"], settings)[0].text == "x"

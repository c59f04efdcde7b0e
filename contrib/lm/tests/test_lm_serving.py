"""A real server process on loopback, in front of a real tiny model."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spaniel import Context, Stage
from spaniel_lm.protocol import Generation, Message

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

PROMPTS = ["the dog", "cat", "bread star river", "ship sails north"]


@pytest.fixture(scope="module")
def served(lm_models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server, run by `spaniel lm serve` in a process of its own."""
    model = f'transformers(model="{lm_models("chat")}")'
    store = tmp_path_factory.mktemp("served")
    command = [
        *(sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')", "--store", str(store)),
        *("lm", "serve", model, "--port", "0", "--name", "tiny", "--offline", "--device", "cpu"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    clock = threading.Timer(120, process.kill)
    clock.start()
    line = process.stdout.readline()
    clock.cancel()
    if " is served at " not in line:
        process.kill()
        raise AssertionError(process.communicate()[1])
    try:
        yield line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def remote(lm_context: Context, served: str) -> Callable[..., Any]:
    return lambda **options: lm_context.create("language_model", Stage("openai", model="tiny", url=served, **options))


def post(url: str, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=60)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", f"/v1/{path}", data, headers)
    response = connection.getresponse()
    made = response.status, json.loads(response.read())
    connection.close()
    return made


def test_chats_are_answered_as_here(remote: Callable[..., Any], lm_model: Callable[..., Any]) -> None:
    chats = [(Message("system", "good"), Message("user", prompt)) for prompt in PROMPTS]
    local = lm_model("chat")
    for settings in (Generation(9), Generation(9, temperature=0.8, top_p=0.9, top_k=20, seed=5, returns=3)):
        expected = local.generate(chats, settings)
        for made, one in zip(remote().generate(chats, settings), expected, strict=True):
            assert [a.text for a in (made, *made.others)] == [a.text for a in (one, *one.others)]
            assert made.logprobs == pytest.approx(one.logprobs, abs=1e-4)
            assert (made.finish, made.prompt_tokens) == (one.finish, one.prompt_tokens)
    assert remote().generate(["the dog"])[0].text == local.generate([(Message("user", "the dog"),)])[0].text


def test_texts_are_gone_on_with_as_here(remote: Callable[..., Any], lm_model: Callable[..., Any]) -> None:
    local = lm_model("chat")
    made = remote(api="completions").generate(PROMPTS, Generation(9, stop=("dog",)))
    expected = local.generate(PROMPTS, Generation(9, stop=("dog",)))
    assert [one.text for one in made] == [one.text for one in expected]
    ids = [tuple(local.tokenizer.ids([prompt])[0]) for prompt in PROMPTS]
    assert [one.text for one in remote(api="completions").generate(ids, Generation(9))] == [
        one.text for one in local.generate(PROMPTS, Generation(9))
    ]


@pytest.mark.parametrize("with_tokenizer", [False, True])
def test_continuations_are_scored_as_here(
    remote: Callable[..., Any], lm_model: Callable[..., Any], lm_models: Callable[[str], Path], with_tokenizer: bool
) -> None:
    local = lm_model("chat")
    more = {"tokenizer": str(lm_models("chat"))} if with_tokenizer else {}
    server = remote(api="completions", echo=True, **more)
    following = [" salt water", " no", " good bad yes", " winter"]
    made = server.logprobs(PROMPTS, following)
    expected = local.logprobs(PROMPTS, following)
    for one, other in zip(made, expected, strict=True):
        assert np.abs(one.logprobs - other.logprobs).max() < 1e-4
    if with_tokenizer:
        assert [one.tokens for one in made] == [one.tokens for one in expected]
        assert server.count_tokens(PROMPTS).tolist() == local.count_tokens(PROMPTS).tolist()
        assert "chat" in server.capabilities


def test_requests_with_one_key_are_answered_once(served: str) -> None:
    body = {"model": "tiny", "prompt": "the dog", "max_tokens": 5, "temperature": 0}
    first = post(served, "completions", body, **{"Idempotency-Key": "k1"})
    again = post(served, "completions", body, **{"Idempotency-Key": "k1"})
    other = post(served, "completions", body, **{"Idempotency-Key": "k2"})
    assert first == again
    assert first[1]["id"] != other[1]["id"]
    assert first[1]["choices"][0]["text"] == other[1]["choices"][0]["text"]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("completions", b"{", 400, "Expecting"),
        ("completions", [1], 400, "must be a JSON object"),
        ("completions", {"prompt": 4}, 400, "prompt must be"),
        ("completions", {"prompt": "a", "stream": True}, 400, "stream is not offered"),
        ("completions", {"prompt": "a", "temperature": "x"}, 400, "temperature must be a number"),
        ("completions", {"prompt": "a", "temperature": -1}, 400, "temperature=-1"),
        ("completions", {"prompt": [10**7]}, 400, "there is no token"),
        ("completions", {"prompt": "the " * 2000}, 400, "reads 1024"),
        ("completions", {"prompt": "a", "model": "gpt"}, 404, "no model 'gpt'"),
        ("completions", {"prompt": "a", "echo": True}, 400, "max_tokens=0"),
        ("completions", b" " * (2**22 + 1), 413, "at most"),
        ("chat/completions", {"messages": []}, 400, "not empty"),
        ("chat/completions", {"messages": [{"role": "user"}]}, 400, "role and a content"),
        ("chat/completions", b"[" * 100_000, 400, ""),
    ],
)
def test_bad_requests_are_refused(served: str, path: str, body: Any, status: int, message: str) -> None:
    made = post(served, path, body)
    assert made[0] == status
    assert message in made[1]["error"]["message"]


def test_models_are_listed(served: str) -> None:
    connection = http.client.HTTPConnection(served.split("/")[2], timeout=60)
    connection.request("GET", "/v1/models")
    listed = json.loads(connection.getresponse().read())
    assert [one["id"] for one in listed["data"]] == ["tiny"]


def test_keys_are_asked_for(lm_model: Callable[..., Any]) -> None:
    from spaniel_lm.serving.app import Service
    from starlette.requests import Request

    service = Service(lm_model("chat"), "tiny", "secret")

    def refused(value: str) -> bool:
        headers = [(b"authorization", value.encode())]
        return service._refuse(Request({"type": "http", "headers": headers})) is not None

    assert refused("")
    assert refused("Bearer secre")
    assert not refused("Bearer secret")
    service.worker.close()


def test_what_waits_together_is_answered_together(lm_model: Callable[..., Any]) -> None:
    from spaniel_lm.serving.worker import Worker

    model, calls = lm_model(), []
    generate = model.generate
    model.generate = lambda prompts, settings: calls.append(len(prompts)) or generate(prompts, settings)
    worker = Worker(model, patience=0.2)
    futures = [worker.generate(prompt, Generation(5)) for prompt in PROMPTS]
    other = worker.generate("the dog", Generation(6))
    bad = worker.generate((10**7,), Generation(5))
    expected = generate(PROMPTS, Generation(5))
    assert [future.result(60).tokens for future in futures] == [one.tokens for one in expected]
    assert other.result(60).tokens == generate(["the dog"], Generation(6))[0].tokens
    assert "no token" in str(bad.exception(60))
    # All five together fail by the one, then each is answered alone.
    assert calls == [5, 1, 1, 1, 1, 1, 1]
    worker.close()

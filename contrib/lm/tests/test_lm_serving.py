"""A real server process on loopback, in front of a real tiny model."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
def process(
    lm_models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server, run by `spaniel lm serve` in a process of its own, and its address."""
    with started(lm_models, tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(scope="module")
def served(process: tuple[str, subprocess.Popen[str]]) -> str:
    """Address of a server."""
    return process[0]


@contextmanager
def started(
    lm_models: Callable[[str], Path], store: Path, *options: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    model = f'transformers(model="{lm_models("chat")}")'
    command = [
        *(sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')", "--store", str(store)),
        *("lm", "serve", model, "--port", "0", "--name", "tiny", "--offline", "--device", "cpu"),
        *options,
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
        yield line.split()[-1], process
    finally:
        process.kill()
        process.communicate()


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
        ("completions", {"prompt": "the dog", "n": 1_000_000}, 400, "n=1000000: at most 16"),
        ("completions", {"prompt": ["a"] * 65}, 400, "at most 64"),
        ("completions", {"prompt": ["a"] * 64, "n": 16, "max_tokens": 100}, 400, "at most 65536"),
        ("completions", {"prompt": "a", "max_tokens": 10**6}, 400, "at most 4096"),
        ("completions", {"prompt": "a", "max_tokens": 1024}, 400, "reads 1024"),
        ("completions", {"prompt": "a", "stop": 5}, 400, "stop must be"),
        ("completions", b'{"prompt": "a\\ud800"}', 400, "prompt is no text"),
        (
            "chat/completions",
            b'{"messages": [{"role": "user", "content": "\\udc00"}]}',
            400,
            "messages[0].content is no",
        ),
        ("completions", b'{"prompt": "a", "temperature": NaN}', 400, "NaN is no number"),
        (
            "completions",
            {"prompt": "a", "response_format": {"type": "json_schema"}},
            400,
            "response_format is not offered",
        ),
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
    assert made[1]["error"]["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


def test_models_are_listed(served: str) -> None:
    connection = http.client.HTTPConnection(served.split("/")[2], timeout=60)
    connection.request("GET", "/v1/models")
    listed = json.loads(connection.getresponse().read())
    assert [one["id"] for one in listed["data"]] == ["tiny"]


@pytest.mark.parametrize(
    ("field", "wrong"), [("stop", 5), ("n", "2"), ("prompt", None), ("colour", "red"), ("seed", 1.5)]
)
def test_errors_name_the_field(served: str, field: str, wrong: Any) -> None:
    status, answer = post(served, "completions", {"prompt": "the dog", field: wrong})
    assert (status, answer["error"]["param"]) == (400, field)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "completions", {}, 405),
        ("HEAD", "completions", {}, 405),
        ("DELETE", "models", {}, 405),
        ("POST", "models", {}, 405),
        ("HEAD", "models", {}, 200),
        ("OPTIONS", "completions", {}, 204),
        ("OPTIONS", "models", {}, 204),
        ("GET", "models/tiny", {}, 200),
        ("GET", "models/gpt", {}, 404),
        ("GET", "models/", {}, 404),
        ("POST", "embeddings", {}, 404),
        ("POST", "completions/", {}, 404),
        ("POST", "completions", {"Content-Type": "text/plain"}, 415),
        ("POST", "completions", {"Content-Type": "application/json; charset=latin-1"}, 415),
        ("POST", "completions", {"Content-Encoding": "gzip"}, 415),
        ("POST", "completions", {"Content-Type": "Application/JSON; charset=UTF-8"}, 200),
        ("POST", "completions", {"Content-Length": "99999999"}, 413),
        ("POST", "completions", {"Idempotency-Key": "k" * 300}, 400),
    ],
)
def test_methods_and_kinds_of_bodies(served: str, method: str, path: str, headers: dict[str, str], status: int) -> None:
    connection = http.client.HTTPConnection(served.split("/")[2], timeout=60)
    connection.request(
        method, f"/v1/{path}", b'{"prompt": "a", "max_tokens": 1}' if method == "POST" else None, headers
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == status
    if status in (204, 405):
        assert "OPTIONS" in str(response.headers["Allow"])
    if status >= 400 and method != "HEAD":
        assert json.loads(body)["error"]["message"]


def crowd(served: str, count: int) -> Counter[tuple[int, bool]]:
    """Send so many requests at once; return how often each status came, and whether with Retry-After."""

    def one(number: int) -> tuple[int, bool]:
        connection = http.client.HTTPConnection(served.split("/")[2], timeout=120)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "the dog", "seed": number}).encode())
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        assert ("choices" in body) == (response.status == 200)
        return response.status, int(response.headers.get("Retry-After", 0)) > 0

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_crowd_is_answered_or_refused(served: str, count: int) -> None:
    made = crowd(served, count)
    assert set(made) <= {(200, False), (429, True)}
    assert made[200, False] >= 100
    assert crowd(served, 8) == {(200, False): 8}


LONG = {"prompt": "the dog", "n": 16, "max_tokens": 1000}


def end(url: str, server: subprocess.Popen[str], how: signal.Signals) -> float:
    """End a server that is at work; return the seconds that it took, when its clients have got their refusals."""
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(post, url, "completions", {**LONG, "seed": seed}) for seed in range(3)]
        time.sleep(1)
        began = time.monotonic()
        server.send_signal(how)
        assert server.wait(60) == 0
        seconds = time.monotonic() - began
        for one in asked:
            status, answer = one.result()
            assert (status, answer.get("error", {}).get("code")) in ((503, "stopping"), (200, None))
    return seconds


@pytest.mark.slow
def test_an_interruption_ends_the_server(lm_models: Callable[[str], Path], tmp_path: Path) -> None:
    with started(lm_models, tmp_path, "--grace", "0") as (url, server):
        assert end(url, server, signal.SIGINT) < 20


def test_the_end(process: tuple[str, subprocess.Popen[str]]) -> None:
    """The last test of the server's process."""
    assert end(*process, signal.SIGTERM) < 30
    errors = process[1].stderr
    assert errors is not None
    assert errors.read() == ""

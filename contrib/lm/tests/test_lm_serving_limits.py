"""A server in a thread, with limits that are soon reached, in front of a tiny model that is slow where that is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from spaniel import UsageError
from spaniel_lm.cli import lm
from spaniel_lm.local import scoring
from spaniel_lm.protocol import Generation

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from spaniel_lm.serving import server as serving
from spaniel_lm.serving import works
from spaniel_lm.serving.admission import Admission
from spaniel_lm.serving.app import Service
from spaniel_lm.serving.fields import CHAT, COMMON, TEXT
from spaniel_lm.serving.limits import Limits
from spaniel_lm.serving.reading import parse, read
from spaniel_lm.serving.refusal import Refusal
from spaniel_lm.serving.worker import Worker

MODELS = b"GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n"


def request(body: Any, *headers: str, path: str = "completions") -> bytes:
    data = json.dumps(body).encode()
    head = [f"POST /v1/{path} HTTP/1.1", "Host: here", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


class Running:
    """A server in a thread."""

    def __init__(self, model: Any, key: str, limits: Limits) -> None:
        self.steps = 0
        self.delay = 0.0
        self.service = Service(model, "tiny", key, limits)
        step = model.decoder.step

        def slow(state: Any, tokens: Any) -> Any:
            self.steps += 1
            time.sleep(self.delay)
            return step(state, tokens)

        model.decoder.step = slow
        model.answering.ends = []  # answers are as long as they may be
        listener = serving._listen("127.0.0.1", 0)
        listener.listen()
        self.port = listener.getsockname()[1]
        self.server = serving.server_of(self.service)
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        self.thread.start()

    def open(self, data: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        made.sendall(data)
        return made

    def ask(self, body: Any, *headers: str, path: str = "completions") -> tuple[int, dict[str, str], Any]:
        return answer(self.open(request(body, "Connection: close", *headers, path=path)))

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()
        assert self.service.answers.close(10)


def answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Read until the server closes; return the last answer's status, headers and JSON."""
    return parted(everything(connection))


def everything(connection: socket.socket) -> bytes:
    data = b""
    with connection:
        while part := connection.recv(65536):
            data += part
    return data


def parted(data: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = data.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status[:3]), headers, json.loads(body)


@pytest.fixture
def run(lm_model: Callable[..., Any]) -> Iterator[Callable[..., Running]]:
    """Starts a server with limits."""
    made: list[Running] = []

    def start(key: str = "", **limits: Any) -> Running:
        made.append(Running(lm_model("chat"), key, Limits(**limits)))
        return made[-1]

    yield start
    for one in made:
        one.delay = 0.0
        one.end()


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < limit, "it did not come about within 20 seconds"
        time.sleep(0.01)


# Reading

WRONG: dict[str, Any] = dict.fromkeys(COMMON | CHAT | TEXT, 1.5)
WRONG |= {"temperature": "1", "top_p": 0, "metadata": "x", "logit_bias": [1], "response_format": "json", "min_p": "0"}
WRONG |= {"frequency_penalty": True, "presence_penalty": "0", "repetition_penalty": [], "stop": 5}


@pytest.mark.parametrize("chat", [True, False])
def test_every_field_is_named_where_it_is_wrong(chat: bool) -> None:
    whole = {"messages": [{"role": "user", "content": "x"}]} if chat else {"prompt": "x"}
    fields = COMMON | (CHAT if chat else TEXT)
    assert read(whole | dict.fromkeys(fields.keys() - whole.keys()), chat, Limits()).n == 1  # null is as if not there
    for name in fields:
        with pytest.raises(Refusal) as caught:
            read(whole | {name: WRONG[name]}, chat, Limits())
        assert (caught.value.status, caught.value.param) == (400, name)
    for name, wrong in (
        ("n", True),
        ("n", 0),
        ("n", 2.0),
        ("seed", 2**63),
        ("stop", [""]),
        ("stop", ["a", 5]),
        ("stop", ["a"] * 17),
    ):
        with pytest.raises(Refusal) as caught:
            read(whole | {name: wrong}, chat, Limits())
        assert caught.value.param == name
    with pytest.raises(Refusal, match="stream is not offered"):
        read(whole | {"stream": True}, chat, Limits())
    assert read(whole | {"stream": False, "frequency_penalty": 0, "user": "me"}, chat, Limits()).logprobs is False


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (rb'{"prompt": "a\ud800"}', "prompt", "lone surrogate"),
        (rb'{"prompt": ["a", "\udfff b"]}', "prompt[1]", "lone surrogate"),
        (rb'{"stop": ["\ud83d"], "prompt": "a"}', "stop[0]", "lone surrogate"),
        (rb'{"metadata": {"a": {"b": "\ude00\ud83d"}}}', "metadata.a.b", "lone surrogate"),
        (rb'{"\ud800": 1}', None, "lone surrogate"),
        (b'{"prompt": "\xed\xa0\x80"}', None, "not UTF-8"),
        (b'{"prompt": "\xff"}', None, "not UTF-8"),
        (b'\xef\xbb\xbf{"prompt": "a"}', None, "no JSON"),
        ('{"prompt": "a"}'.encode("utf-16"), None, "not UTF-8"),
        (b'{"temperature": NaN}', None, "NaN is no number"),
        (b'{"temperature": -Infinity}', None, "-Infinity is no number"),
        (b'{"temperature": 1e999}', "temperature", "finite"),
        (b'{"n": ' + b"9" * 5000 + b"}", "n", "finite"),
        (b'{"prompt": [' + b"9" * 5000 + b"]}", "prompt[0]", "finite"),
        (b'{"n": 1, "n": 2}', "n", "twice"),
        (b'{"messages": ' + b"[" * 40 + b"]" * 40 + b"}", "messages", "more than 32 levels"),
        (b'{"messages": ' + b"[" * 100_000, None, "more than 32 levels"),
        (b"", None, "no JSON"),
        (b"null", None, "object"),
    ],
)
def test_bodies_that_are_no_json_of_whole_texts_and_numbers(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        parse(body)
    assert caught.value.param == param
    json.dumps(caught.value.content).encode()


def test_whole_pairs_of_surrogates_are_a_character() -> None:
    assert parse(rb'{"prompt": "\ud83d\ude00"}') == {"prompt": "\U0001f600"}


@pytest.mark.parametrize(
    ("turn", "param"),
    [
        (5, "messages[0]"),
        ({"role": 5, "content": "x"}, "messages[0].role"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": []}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "image_url", "text": "x"}]}, "messages[0].content"),
        ({"role": "assistant", "content": "x", "tool_calls": [{}]}, "messages[0].tool_calls"),
    ],
)
def test_turns_of_a_chat_are_checked(turn: Any, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        read({"messages": [turn]}, True, Limits())
    assert caught.value.param == param


def test_contents_in_parts_are_one_text() -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    turns = [{"role": "developer", "content": parts}, {"role": "user", "content": "c"}]
    assert read({"messages": turns}, True, Limits()).prompts == [(("system", "a b"), ("user", "c"))]


def test_what_is_left_open_fits_the_window(run: Callable[..., Running]) -> None:
    running = run()
    status, _, made = running.ask({"prompt": "the " * 1020})
    assert (status, made["usage"]["completion_tokens"]) == (200, 1024 - made["usage"]["prompt_tokens"])
    assert running.ask({"prompt": "the " * 1020, "max_tokens": 9})[0] == 400
    assert running.ask({"prompt": "the " * 2000, "echo": True, "max_tokens": 0})[0] == 400
    limited = run(prompt_tokens=5, body=100)
    assert "at most 5" in limited.ask({"prompt": "the " * 9})[2]["error"]["message"]
    assert limited.ask({"prompt": "a" * 100})[0] == 413
    chunked = b"POST /v1/completions HTTP/1.1\r\nHost: here\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'{"prompt": "cat", "max_tokens": 2}'
    assert answer(limited.open(chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)))[0] == 200
    assert answer(limited.open(chunked + b"40\r\n%s\r\n40\r\n%s\r\n0\r\n\r\n" % (b" " * 64, b" " * 64)))[0] == 413


# Room, and who takes it


def test_what_has_no_room_is_refused_with_a_time(run: Callable[..., Running]) -> None:
    running = run(client_queue=2, queue=3)
    running.delay = 0.05
    held = [running.open(request({"prompt": "the dog", "max_tokens": 200, "temperature": 0})) for _ in range(2)]
    until(lambda: running.service.admission.under_way == 2)
    status, headers, made = running.ask({"prompt": "the dog"})
    assert (status, made["error"]["code"], made["error"]["type"]) == (429, "client_queue_full", "rate_limit_error")
    assert 1 <= int(headers["retry-after"]) <= 60
    running.service.admission.under_way += 1
    assert running.ask({"prompt": "the dog"})[2]["error"]["code"] == "queue_full"
    running.service.admission.under_way -= 1
    for one in held:
        one.close()
    # Who is gone has no place in the queue, and no work is done for them.
    until(lambda: running.service.admission.under_way == 0)
    until(lambda: not running.service.answers.worker._running)
    steps = running.steps
    assert steps < 150
    time.sleep(0.2)
    assert running.steps == steps
    running.delay = 0.0
    assert running.ask({"prompt": "the dog"})[0] == 200


def test_networks_are_clients_and_addresses_of_version_4() -> None:
    admission = Admission(Limits(client_queue=1))
    with admission.admitted("2001:db8::1"), admission.admitted("2001:db8:0:1::1"), admission.admitted("10.0.0.1"):
        for taken in ("2001:db8::2", "::ffff:10.0.0.1"):
            with pytest.raises(Refusal, match="of this client"), admission.admitted(taken):
                pass
    assert not admission.under_way
    assert not admission._clients


def test_what_waits_is_not_begun_when_its_client_is_gone(run: Callable[..., Running]) -> None:
    running = run()
    running.delay = 0.02
    first = running.open(request({"prompt": "the dog", "max_tokens": 300, "temperature": 0}))
    until(lambda: running.steps > 0)
    waiting = [running.open(request({"prompt": "cat", "max_tokens": 300 + at})) for at in range(5)]
    worker = running.service.answers.worker
    until(lambda: len(worker._waiting) == 5)
    for one in waiting:
        one.close()
    until(lambda: not worker._waiting)
    assert len(worker._running) == 1
    first.close()


def test_one_key_is_for_one_request(run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    running = run()
    body, key = {"prompt": "the dog", "max_tokens": 5}, "Idempotency-Key: k"
    first = running.ask(body, key)
    assert first[0] == 200
    assert running.ask(body, key)[2] == first[2]
    status, _, other = running.ask({**body, "seed": 1}, key)
    assert (status, other["error"]["code"]) == (422, "idempotency_key_reused")
    chat = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    assert running.ask(chat, key, path="chat/completions")[0] == 422
    # What was refused is not kept; what is old, or too much, is forgotten.
    assert running.ask({"prompt": 5}, "Idempotency-Key: bad")[0] == 400
    assert running.ask(body, "Idempotency-Key: bad")[0] == 200
    monkeypatch.setattr(works, "_BYTES", 1000)
    for number in range(5):
        assert running.ask(body, f"Idempotency-Key: {number}")[0] == 200
    kept = running.service._works
    assert 0 < kept._bytes <= 1000
    assert sum(one.size for one in kept._kept.values()) == kept._bytes
    monkeypatch.setattr(works, "_SECONDS", 0.0)
    assert running.ask({**body, "seed": 1}, "Idempotency-Key: 4")[0] == 200


def test_one_key_is_answered_once_at_a_time_and_again_when_nobody_waited(run: Callable[..., Running]) -> None:
    running = run()
    running.delay = 0.02
    body = request({"prompt": "the dog", "max_tokens": 50, "temperature": 0}, "Idempotency-Key: k", "Connection: close")
    first = running.open(body)
    until(lambda: running.steps > 0)
    second = running.open(body)
    until(lambda: running.service.admission.under_way == 2)
    first.close()
    assert answer(second)[0] == 200
    assert running.steps < 60
    third = running.open(body.replace(b": k", b": l"))
    until(lambda: running.service.admission.under_way == 1)
    third.close()
    until(lambda: running.service.admission.under_way == 0)
    assert answer(running.open(body.replace(b": k", b": l")))[0] == 200


def test_an_answer_that_takes_too_long_is_given_up(run: Callable[..., Running]) -> None:
    running = run(seconds=0.3)
    running.delay = 0.05
    long = {"prompt": "the dog", "max_tokens": 500, "temperature": 0}
    first = running.open(request(long, "Connection: close"))
    until(lambda: running.steps > 0)
    assert answer(first)[0] == 504
    until(lambda: not running.service.answers.worker._running)
    assert running.steps < 100


def test_a_fault_of_the_model_is_told_in_json(run: Callable[..., Running]) -> None:
    running = run()
    running.service.answers.model.generate = None  # type: ignore[assignment, method-assign]
    status, _, made = running.ask({"prompt": "the dog"})
    assert (status, made["error"]["type"]) == (500, "server_error")


# Seeds


def test_requests_that_differ_in_seed_are_answered_together(lm_model: Callable[..., Any]) -> None:
    model, calls = lm_model("chat"), []
    generate = model.generate

    def counted(prompts: Any, settings: Any, **more: Any) -> Any:
        calls.append(len(prompts))
        return generate(prompts, settings, **more)

    settings = [Generation(9, temperature=0.9, returns=2, seed=seed) for seed in (0, 1, 2, 1, None)]
    prompts = ["the dog", "the dog", "the cat", "the dog", "star river sails north"]
    alone = [generate([prompt], one)[0] for prompt, one in zip(prompts, settings, strict=True)]
    model.generate = counted
    worker = Worker(model, patience=0.2)
    jobs = [worker.generate(prompt, one) for prompt, one in zip(prompts, settings, strict=True)]
    other = worker.generate("the dog", Generation(6))
    bad = worker.generate((10**7,), Generation(6))
    made = [job.future.result(60) for job in jobs]
    for one, expected in zip(made, alone, strict=True):
        assert [a.tokens for a in (one, *one.others)] == [a.tokens for a in (expected, *expected.others)]
    assert made[0].tokens != made[1].tokens
    assert other.future.result(60).tokens == generate(["the dog"], Generation(6))[0].tokens
    assert "no token" in str(bad.future.exception(60))
    # The last two together fail by the one, then each is answered alone.
    assert calls == [5, 2, 1, 1]
    assert worker.close(10)


def test_batches_are_as_large_as_the_model_reads(lm_model: Callable[..., Any]) -> None:
    model, calls = lm_model(), []
    generate = model.generate
    model.generate = lambda prompts, settings, **more: calls.append(len(prompts)) or generate(prompts, settings, **more)
    worker = Worker(model, patience=0.2, batch_tokens=30)
    jobs = [worker.generate((5, 6, 7, 8, 9), Generation(5, temperature=1.0, seed=seed)) for seed in range(7)]
    for job in jobs:
        job.future.result(60)
    assert calls == [3, 3, 1]
    assert worker.close(10)


def test_many_answers_are_batches_like_many_prompts(lm_model: Callable[..., Any]) -> None:
    settings = Generation(6, temperature=1.0, returns=7, seed=3)
    whole, parts = (lm_model(batch_tokens=tokens).generate(["the dog", "cat"], settings) for tokens in (4096, 30))
    for one, other in zip(whole, parts, strict=True):
        assert [a.tokens for a in (one, *one.others)] == [a.tokens for a in (other, *other.others)]


def test_long_texts_are_scored_in_parts(lm_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = lm_model()
    texts = ["the dog sails north of winter", "cat", "bread star"]
    whole = model.logprobs(["salt", "salt", "no"], texts)
    monkeypatch.setattr(scoring, "LOGITS", 4)
    for one, other in zip(whole, model.logprobs(["salt", "salt", "no"], texts), strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


class Panic(BaseException):
    """As a library in Rust raises it."""


def test_a_panic_is_the_fault_of_one(lm_model: Callable[..., Any]) -> None:
    model = lm_model()

    def panic() -> None:
        raise Panic

    worker = Worker(model)
    assert "Panic" in str(worker.call(panic).future.exception(60))
    assert worker.generate("the dog", Generation(2)).future.result(60).answer_tokens == 2
    assert worker.close(10)


# Slow connections


def test_slow_connections_are_closed(run: Callable[..., Running]) -> None:
    running = run(head_seconds=0.4, body_seconds=0.4)
    began = time.monotonic()
    body = b"POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n"
    begun = {
        "nothing": (b"", b"", 0),
        "idle after an answer": (MODELS, b"", 200),
        "a part of the headers": (MODELS[:20], b"", 408),
        "headers that drip": (MODELS[:-2], b"a: b\r\n", 408),
        "headers that drip after an answer": (MODELS + MODELS[:-2], b"a: b\r\n", 408),
        "a part of the body": (body, b"", 408),
        "a body that drips": (body, b" ", 408),
        "chunks that drip": (body.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"), b"1\r\n \r\n", 408),
        "a body that drips after a refusal": (body.replace(b"Host", b"Content-Type: text/plain\r\nHost"), b" ", 415),
    }
    opened = {name: running.open(data) for name, (data, _, _) in begun.items()}
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.1):
            for name, (_, more, _) in begun.items():
                with contextlib.suppress(OSError):
                    opened[name].sendall(more)

    thread = threading.Thread(target=drip)
    thread.start()
    for name, (_, _, status) in begun.items():
        try:
            data = everything(opened[name])
        except ConnectionError:
            data = b""  # cut while more came
        if status and data:
            assert parted(data)[0] == status, name
    assert time.monotonic() - began < 15
    over.set()
    thread.join()
    until(lambda: not running.server.server_state.connections)


def test_clients_that_do_not_take_their_answers_are_cut(run: Callable[..., Running]) -> None:
    running = run(body_seconds=0.3, head_seconds=0.3)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", running.port))
    made.settimeout(0.5)
    running.service.name = "tiny" * 2_000_000
    with contextlib.suppress(TimeoutError, ConnectionError):  # nor does the server take more
        made.sendall(MODELS * 20)
    until(lambda: running.server.server_state.total_requests > 0)
    until(lambda: not running.server.server_state.connections)
    made.close()


def test_connections_have_a_bound(run: Callable[..., Running]) -> None:
    running = run(connections=2)
    held = [running.open() for _ in range(2)]
    until(lambda: len(running.server.server_state.connections) == 2)
    status, headers, made = answer(running.open(MODELS))
    assert (status, made["error"]["code"], headers["retry-after"]) == (503, "connections_full", "1")
    for one in held:
        one.close()
    until(lambda: not running.server.server_state.connections)
    assert answer(running.open(MODELS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))[0] == 200


def test_what_is_no_http_and_what_is_rare(run: Callable[..., Running]) -> None:
    running = run(head_seconds=1)
    for data in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, b"GET / HTTP/1.1\r\n\r\n"):
        try:
            assert answer(running.open(data))[0] == 400
        except ConnectionError:
            assert len(data) > 10_000  # cut while it was sent
    one = {"prompt": "the dog", "max_tokens": 2, "temperature": 0}
    several = everything(running.open(request(one) * 3))
    assert several.count(b"HTTP/1.1 200") == 3
    waiting = running.open(request(one, "Expect: 100-continue", "Connection: close")[: -len(json.dumps(one))])
    assert waiting.recv(1000).startswith(b"HTTP/1.1 100")
    waiting.sendall(json.dumps(one).encode())
    assert answer(waiting)[0] == 200
    # What is refused by its headers is refused before it is sent.
    large = running.open(
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
    )
    assert large.recv(1000).startswith(b"HTTP/1.1 413")
    large.close()


# Keys and addresses


def test_keys_are_asked_for(run: Callable[..., Running]) -> None:
    running = run(key="secret")
    one = {"prompt": "the dog", "max_tokens": 1}
    for sent in ("", "Bearer secre", "Bearer secret2", "secret", "Basic secret", "Bearer sécret"):
        status, headers, made = running.ask(one, f"Authorization: {sent}")
        assert (status, headers["www-authenticate"], made["error"]["type"]) == (401, "Bearer", "authentication_error")
    assert running.ask(one, "Authorization: Bearer secret")[0] == 200
    assert running.ask(one, "Authorization: bearer  secret")[0] == 200


@pytest.mark.parametrize(
    ("host", "key", "warned"), [("0.0.0.0", "", True), ("0.0.0.0", "k", False), ("127.0.0.1", "", False)]
)
def test_an_open_address_without_a_key_is_warned_of(
    lm_model: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    key: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(serving._Server, "run", lambda self, sockets: None)
    serving.serve(lm_model(), "tiny", host, 0, key, Limits())
    said = capsys.readouterr()
    assert ("asks for no key" in said.err) == warned
    assert said.out.startswith(f"tiny is served at http://{host}:")


def test_a_key_that_is_named_must_be_there_and_help_names_every_limit() -> None:
    made = CliRunner().invoke(lm, ["serve", "x", "--key-variable", "NO_SUCH_KEY"])
    assert isinstance(made.exception, UsageError)
    assert "NO_SUCH_KEY is not set" in str(made.exception)
    said = CliRunner().invoke(lm, ["serve", "--help"]).output
    for option in ("--max-n", "--max-prompts", "--max-body", "--queue", "--connections", "--head-seconds", "--grace"):
        assert option in said
    assert CliRunner().invoke(lm, ["serve", "x", "--max-n", "0"]).exit_code == 2


def test_addresses_and_keys_that_cannot_be(lm_model: Callable[..., Any]) -> None:
    model = lm_model()
    with pytest.raises(UsageError, match="no spaces"):
        serving.serve(model, "tiny", "127.0.0.1", 0, "a key\n", Limits())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot serve at 127"):
            serving.serve(model, "tiny", "127.0.0.1", taken.getsockname()[1], "", Limits())


# The end


def test_at_the_end_what_waits_is_refused_and_what_runs_is_finished(run: Callable[..., Running]) -> None:
    running = run(grace=20)
    running.delay = 0.02
    first = running.open(request({"prompt": "the dog", "max_tokens": 60, "temperature": 0}))
    until(lambda: running.steps > 0)
    second = running.open(request({"prompt": "the dog", "max_tokens": 61}))
    until(lambda: len(running.service.answers.worker._waiting) == 1)
    third = running.open(b"POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")
    until(lambda: running.service.admission.under_way == 3)
    running.server.should_exit = True
    for refused in (second, third):
        status, headers, made = answer(refused)
        assert (status, made["error"]["code"]) == (503, "stopping")
        assert int(headers["retry-after"]) > 0
    status, _, made = answer(first)
    assert (status, made["usage"]["completion_tokens"]) == (200, 60)
    running.thread.join(10)
    assert not running.thread.is_alive()


def test_what_is_not_finished_in_time_is_refused(run: Callable[..., Running]) -> None:
    running = run(grace=0.2)
    running.delay = 0.05
    first = running.open(request({"prompt": "the dog", "max_tokens": 900, "temperature": 0}))
    until(lambda: running.steps > 0)
    running.server.should_exit = True
    assert answer(first)[0] == 503
    running.thread.join(10)
    assert not running.thread.is_alive()
    assert running.steps < 100


def test_bodies_under_a_key_end_with_the_last_who_waits() -> None:
    async def check() -> None:
        ended = asyncio.Event()

        async def making() -> works.Reply:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            raise AssertionError

        work = works.Work(making())
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        both = asyncio.gather(work.wait(gone), work.wait(asyncio.get_running_loop().create_future()))
        await asyncio.sleep(0)
        gone.set_result(None)
        await asyncio.sleep(0.01)
        assert not ended.is_set()
        both.cancel()
        await ended.wait()
        assert work.is_dropped

    asyncio.run(check())

"""A server under faults: every request is answered or named as failed, and none is paid for twice."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from spaniel import Context, Stage, UsageError
from spaniel_lm.protocol import Generation, Message
from spaniel_lm.remote.limits import Pace
from spaniel_lm.remote.sending import RequestsFailed

Script = Callable[[str, int], Any]
"""``(prompt, number of the attempt)`` → JSON of an answer, or a fault: ``(status, headers)`` or a word."""


def completion(text: str, **choice: Any) -> dict[str, Any]:
    """Return a whole chat completion: four tokens in, three out."""
    one = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    return {"choices": [{**one, **choice}], "usage": {"prompt_tokens": 4, "completion_tokens": 3}}


class Server:
    """A scripted server on loopback that keeps books: what was sent, and what was worked on and so paid for."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.keys: dict[str, set[str]] = {}
        self.busy = self.most = 0
        self.lock = threading.Lock()
        book = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                pass

            def do_POST(self) -> None:
                book.handle(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def handle(self, request: Any) -> None:
        content = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        prompt = content["messages"][-1]["content"] if "messages" in content else str(content["prompt"])
        with self.lock:
            attempt = self.sent[prompt]
            self.sent[prompt] += 1
            self.keys.setdefault(prompt, set()).add(request.headers["Idempotency-Key"])
            self.busy += 1
            self.most = max(self.most, self.busy)
        made = self.script(prompt, attempt)
        with self.lock:
            self.busy -= 1
        if isinstance(made, tuple):
            self.respond(request, made[0], json.dumps({"error": {"message": "scripted"}}).encode(), made[1])
            return
        self.paid[prompt] += 1
        if made == "cut":
            request.connection.shutdown(socket.SHUT_RDWR)
        elif made == "half":
            request.send_response(200)
            request.send_header("Content-Length", "1000")
            request.end_headers()
            request.wfile.write(b'{"choices": [')
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
        elif made == "drip":
            request.send_response(200)
            request.send_header("Content-Length", "1000")
            request.end_headers()
            for _ in range(40):
                try:
                    request.wfile.write(b" ")
                    request.wfile.flush()
                except OSError:
                    return
                time.sleep(0.05)
        elif made == "huge":
            self.respond(request, 200, b" " * (2**24 + 1), {})
        elif isinstance(made, bytes):
            self.respond(request, 200, made, {})
        else:
            self.respond(request, 200, json.dumps(made).encode(), {})

    @staticmethod
    def respond(request: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            request.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            pass

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def remote(lm_context: Context) -> Callable[..., Any]:
    def make(url: str, **options: Any) -> Any:
        quick = {"backoff": 0.001, "timeout": 5.0, "longest_wait": 0.05}
        return lm_context.create("language_model", Stage("openai", model="tiny", url=url, **{**quick, **options}))

    return make


def failed(call: Callable[[], Any]) -> RequestsFailed:
    with pytest.raises(RequestsFailed) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("status", [409, 425, 429, 503, 529])
def test_what_is_refused_is_sent_again(serve: Any, remote: Any, lm_context: Context, status: int) -> None:
    server = serve(lambda prompt, attempt: (status, {}) if attempt < 2 else completion(f"to {prompt}"))
    model = remote(server.url, price_prompt=1e6, price_answer=2e6)
    prompts = [f"p{number}" for number in range(6)]
    with lm_context.stage("ask") as stage:
        answers = model.generate(prompts, Generation(8))
    assert [answer.text for answer in answers] == [f"to {prompt}" for prompt in prompts]
    assert set(server.sent.values()) == {3}
    assert set(server.paid.values()) == {1}
    assert all(len(keys) == 1 for keys in server.keys.values())
    cost = dict(stage.cost)
    assert cost.pop("model seconds") > 0
    expected = {"model calls": 6, "prompt tokens": 24, "answer tokens": 18, "requests refused": 12, "cost": 60.0}
    assert cost == expected


def test_refusals_end_after_so_many_attempts(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: (429, {"Retry-After": "9999"}) if prompt == "p1" else completion(prompt))
    started = time.monotonic()
    error = failed(lambda: remote(server.url, attempts=3).generate(["p0", "p1", "p2"]))
    assert time.monotonic() - started < 3
    assert [None if one is None else one.text for one in error.results] == ["p0", None, "p2"]
    assert str(error).startswith(
        "1 of 3 requests failed, 2 were answered: request 1: HTTP 429: scripted (sent 3 times)"
    )
    assert (server.sent["p1"], server.paid["p1"]) == (3, 0)


@pytest.mark.parametrize("fault", ["cut", "half", "drip"])
def test_what_may_have_been_paid_is_not_sent_again(serve: Any, remote: Any, lm_context: Context, fault: str) -> None:
    server = serve(lambda prompt, attempt: fault if prompt == "p1" else completion(prompt))
    model = remote(server.url, timeout=0.4)
    started = time.monotonic()
    with lm_context.stage("ask") as stage:
        error = failed(lambda: model.generate(["p0", "p1", "p2"], Generation(8)))
    assert time.monotonic() - started < 3
    assert [failure.paid for failure in error.failures] == ["unsure"]
    assert ("no whole answer" if fault == "drip" else "cut off") in str(error)
    assert server.sent == {"p0": 1, "p1": 1, "p2": 1}
    # What may have been charged is counted at its largest: the prompt's bytes, and all tokens that were asked for.
    assert stage.cost["model calls"] == 3
    assert stage.cost["answer tokens"] == 3 + 3 + 8


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_servers_that_may_have_worked_are_not_asked_again(serve: Any, remote: Any, status: int) -> None:
    server = serve(lambda prompt, attempt: (status, {}) if prompt == "p1" and attempt == 0 else completion(prompt))
    error = failed(lambda: remote(server.url).generate(["p0", "p1", "p2"]))
    assert [(failure.paid, failure.attempts) for failure in error.failures] == [("unsure", 1)]
    assert [one and one.text for one in error.results] == ["p0", None, "p2"]
    server = serve(lambda prompt, attempt: (status, {}) if attempt == 0 else completion(prompt))
    assert [one.text for one in remote(server.url, resend_unsure=True).generate(["p0"])] == ["p0"]
    assert len(server.keys["p0"]) == 1


def test_servers_that_know_keys_are_asked_again(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: "cut" if attempt == 0 else completion(prompt))
    assert [one.text for one in remote(server.url, resend_unsure=True).generate(["p0", "p1"])] == ["p0", "p1"]
    assert all(len(keys) == 1 for keys in server.keys.values())
    assert server.keys["p0"] != server.keys["p1"]


BAD: dict[str, Any] = {
    "no JSON": b"<html>",
    "no object": [1],
    "no choices": {"usage": {}},
    "two choices": {"choices": [{}, {}]},
    "no text": {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
    "odd end": completion("x", finish_reason="content_filter"),
    "odd logprobs": completion("x", logprobs={"content": [{"token": "x", "logprob": 0.5}]}),
    "logprobs not numbers": completion("x", logprobs={"content": [{"token": "x", "logprob": "NaN"}]}),
    "logprob NaN": json.dumps(completion("x", logprobs={"content": [{"logprob": float("nan")}]})).encode(),
    "logprob too large to be a number": completion("x", logprobs={"content": [{"logprob": -(10**400)}]}),
    "logprob of any size": completion("x", logprobs={"content": [{"logprob": 10**400}]}),
    "logprob infinite": json.dumps(completion("x", logprobs={"content": [{"logprob": -float("inf")}]})).encode(),
    "logprob absurd": completion("x", logprobs={"content": [{"logprob": -1e300}]}),
    "number of 5,000 digits": b'{"choices": [{"text": "x", "logprobs": {"token_logprobs": [-' + b"9" * 5000 + b"]}}]}",
    "logprobs odd": completion("x", logprobs=[1]),
    "logprobs no list": completion("x", logprobs={"token_logprobs": 4}),
    "refusal": completion("x", message={"content": None, "refusal": "I will not"}),
    "thoughts alone": completion("x", message={"content": None, "reasoning_content": "hm"}, finish_reason="length"),
    "tool call": completion("x", message={"content": None, "tool_calls": [{}]}),
    "parts without text": completion("x", message={"content": [{"type": "thinking", "thinking": "hm"}]}),
    "an error for an answer": {"error": {"message": "overloaded"}},
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_answers_are_paid_once_and_named(serve: Any, remote: Any, lm_context: Context, name: str) -> None:
    server = serve(lambda prompt, attempt: BAD[name] if prompt == "p1" else completion(prompt))
    with lm_context.stage("ask") as stage:
        error = failed(lambda: remote(server.url).generate(["p0", "p1"], Generation(8)))
    assert [failure.paid for failure in error.failures] == ["yes"]
    assert error.results[0].text == "p0"
    assert server.sent == {"p0": 1, "p1": 1}
    assert stage.cost["model calls"] == 2


def test_answers_too_large_are_given_up(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: "huge")
    assert "more than 16777216 bytes" in str(failed(lambda: remote(server.url).generate(["p0"])))
    assert server.sent["p0"] == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_will_not_answer_is_left_alone(serve: Any, remote: Any, status: int) -> None:
    server = serve(lambda prompt, attempt: (status, {}))
    error = failed(lambda: remote(server.url, concurrency=1).generate([f"p{number}" for number in range(20)]))
    assert sum(server.sent.values()) == 1
    assert len(error.failures) == 20
    assert error.failures[-1].problem.startswith("not sent")


def test_a_bad_request_fails_alone(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: (400, {}) if prompt == "p0" else completion(prompt))
    error = failed(lambda: remote(server.url).generate(["p0", "p1"]))
    assert (error.failures[0].paid, error.results[1].text) == ("no", "p1")
    assert server.sent["p0"] == 1


def test_no_server_is_named(remote: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failed(lambda: remote(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", attempts=2).generate(["p"]))
    assert "no connection to 127.0.0.1" in str(error)
    assert error.failures[0].attempts == 2


def test_requests_are_under_way_at_once_up_to_the_bound(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: time.sleep(0.05) or completion(prompt))
    remote(server.url, concurrency=3).generate([f"p{number}" for number in range(12)])
    assert 2 <= server.most <= 3


def test_equal_prompts_are_paid_once(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: "cut" if prompt == "bad" else completion(prompt))
    answers = remote(server.url).generate(["p", "q", "p"])
    assert [answer.text for answer in answers] == ["p", "q", "p"]
    assert server.sent == {"p": 1, "q": 1}
    error = failed(lambda: remote(server.url).generate(["bad", "p", "bad"]))
    assert [failure.at for failure in error.failures] == [0, 2]


def test_budgets_hold(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: completion(prompt))
    model = remote(server.url, max_calls=5)
    with pytest.raises(UsageError, match="max_calls=5: 6 requests, and 5 are left; nothing was sent"):
        model.generate([f"p{number}" for number in range(6)])
    assert not server.sent
    model.generate(["a", "b", "c"])
    with pytest.raises(UsageError, match="3 requests, and 2 are left"):
        model.generate(["d", "e", "f"])
    for options in ({"max_tokens": 300}, {"max_cost": 300.0, "price_prompt": 1e6, "price_answer": 1e6}):
        server.sent.clear()
        bounded = remote(server.url, concurrency=8, **options)
        error = failed(lambda m=bounded: m.generate([f"q{n}" for n in range(60)], Generation(8)))  # type: ignore[misc]
        assert all("leaves no room" in failure.problem for failure in error.failures)
        budget = bounded.sender.budget
        # Seven tokens each are paid; a request reserves its bytes, the template and eight.
        assert 300 - (2 + 64 + 8) - 7 < budget.tokens <= 300
        assert budget.calls == sum(server.sent.values()) == 60 - len(error.failures)


def test_pace_lets_so_much_pass_in_a_minute() -> None:
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace, passed = Pace(3, lambda: now[0], sleep), []
    for _ in range(10):
        pace.enter()
        passed.append(now[0])
    assert passed == [0, 0, 0, 60, 60, 60, 120, 120, 120, 180]
    heavy = Pace(100, lambda: now[0], sleep)
    before = now[0]
    for amount in (60, 60, 250):
        heavy.enter(amount)
    assert now[0] - before == 120


def test_capabilities_are_checked_before_anything_is_sent(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: completion(prompt))
    model = remote(server.url)
    for call, message in (
        (lambda: model.generate(["p"], Generation(beams=2)), "cannot search with beams"),
        (lambda: model.generate(["p"], processors=[lambda tokens, scores: scores]), "cannot apply logits processors"),
        (lambda: model.logprobs(["p"], ["q"]), "cannot score given continuations; completions of servers"),
        (lambda: model.next_logits(["p"]), "cannot give the logits"),
        (lambda: model.hidden(["p"], [0]), "cannot give hidden states"),
        (lambda: model.count_tokens(["p"]), "cannot count"),
        (lambda: model.prefix("p"), "cannot keep a prefix"),
        (lambda: remote(server.url, api="completions").generate([(Message("user", "p"),)]), "cannot take chats"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
    assert not server.sent


def echo(**changed: Any) -> dict[str, Any]:
    table = {
        "tokens": ["the", " dog", " ba", "rks"],
        "token_logprobs": [None, -1.0, -2.0, -0.5],
        "text_offset": [0, 3, 7, 10],
    }
    return {"choices": [{"text": "", "logprobs": {**table, **changed}}], "usage": {"prompt_tokens": 4}}


def test_continuations_are_scored_by_echo(serve: Any, remote: Any) -> None:
    server = serve(lambda prompt, attempt: echo())
    scored = remote(server.url, api="completions", echo=True).logprobs(["the dog"], [" barks"])[0]
    assert scored.logprobs.tolist() == [-2.0, -0.5]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"token_logprobs": [None, -1.0, 2.0, -0.5]}, "2.0 is no log-probability"),
        ({"token_logprobs": [None, -1.0, None, -0.5]}, "None is no log-probability"),
        ({"token_logprobs": [None, -1.0]}, "2 log-probabilities for 4 tokens"),
        ({"text_offset": [0, 3]}, "does not say where its tokens begin"),
        ({"text_offset": [0, 9, 3, 10]}, "out of order"),
        ({"text_offset": [0, 1, 2, 3]}, "no token of the continuation"),
        ({"tokens": ["the", " dog b", "ar", "ks"], "text_offset": [0, 3, 9, 11]}, "do not break where"),
        ({"tokens": None}, "has no log-probabilities of the prompt"),
    ],
)
def test_wrong_logprobs_are_named(serve: Any, remote: Any, changed: dict[str, Any], message: str) -> None:
    server = serve(lambda prompt, attempt: echo(**changed))
    error = failed(lambda: remote(server.url, api="completions", echo=True).logprobs(["the dog"], [" barks"]))
    assert message in str(error)
    assert sum(server.sent.values()) == 1

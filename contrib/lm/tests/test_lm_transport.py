"""Answers as servers really send them, byte by byte, over real sockets: time, size, kept connections, odd HTTP."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from spaniel import Context, Stage, UsageError
from spaniel_lm.protocol import Generation
from spaniel_lm.remote import connections
from spaniel_lm.remote.sending import RequestsFailed

BODY = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}).encode()


def http(
    body: bytes = BODY, status: str = "200 OK", version: str = "1.1", length: int | None = -1, **headers: str
) -> bytes:
    """Return a whole response; a length of ``None`` leaves it out."""
    lines = [f"HTTP/{version} {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    lines += [] if length is None else [f"Content-Length: {len(body) if length < 0 else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Sockets:
    """A server that answers every request by bytes of a script, and counts connections and requests.

    The script yields bytes to send, numbers of seconds to wait, or ``"close"``.
    """

    def __init__(self, script: Callable[[int, dict[str, Any]], Any]) -> None:
        self.script, self.requests, self.headers = script, [], []  # type: ignore[var-annotated]
        self.connections = 0
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/v1"
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            try:
                while self.answer(sock, lines):
                    pass
            except OSError:
                pass

    def answer(self, sock: socket.socket, lines: Any) -> bool:
        head: list[str] = []
        while (line := lines.readline().decode().strip()) or not head:
            if not line:
                return False
            head.append(line)
        size = next(int(line.split(":")[1]) for line in head if line.lower().startswith("content-length"))
        content = json.loads(lines.read(size))
        with self.lock:
            number = len(self.requests)
            self.requests.append(content)
            self.headers.append(head)
        for part in self.script(number, content):
            if part == "close":
                return False
            if isinstance(part, bytes):
                sock.sendall(part)
            else:
                time.sleep(part)
        return True


@pytest.fixture
def sockets() -> Iterator[Callable[..., Sockets]]:
    made: list[Sockets] = []

    def start(*parts: Any, script: Any = None) -> Sockets:
        made.append(Sockets(script or (lambda number, content: parts)))
        return made[-1]

    yield start
    for one in made:
        one.server.close()


@pytest.fixture
def remote(lm_context: Context) -> Callable[..., Any]:
    def make(server: Any, **options: Any) -> Any:
        quick = {"backoff": 0.001, "timeout": 5.0, "longest_wait": 0.05}
        return lm_context.create("language_model", Stage("openai", model="m", url=server.url, **{**quick, **options}))

    return make


def failed(model: Any, *prompts: str) -> RequestsFailed:
    with pytest.raises(RequestsFailed) as caught:
        model.generate(prompts or ["p"])
    return caught.value


def drip(data: bytes, pause: float = 0.05) -> list[Any]:
    return [part for at in range(len(data)) for part in (data[at : at + 1], pause)]


DRIPS = {
    "a body, connection closed": [http(b"", length=1000, Connection="close"), *drip(b" " * 100)],
    "a body of no length": [http(b"", length=None, version="1.0"), *drip(b" " * 100)],
    "a body, connection kept": [http(b"", length=1000), *drip(b" " * 100)],
    "headers": [b"HTTP/1.1 200 OK\r\nX: ", *drip(b"a" * 100)],
    "the status": drip(b"HTTP/1.1 200 " + b"O" * 100),
    "chunks": [http(b"", length=None, Transfer_Encoding="chunked"), *drip(b"1\r\n \r\n" * 20)],
    "the size of a chunk": [http(b"", length=None, Transfer_Encoding="chunked"), *drip(b"0" * 100)],
    "interim answers": [*drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 5)],
    "nothing": [5.0],
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_time_over_all_holds_whatever_drips(sockets: Any, remote: Any, name: str) -> None:
    server = sockets(*DRIPS[name])
    started = time.monotonic()
    error = failed(remote(server, timeout=0.4))
    assert time.monotonic() - started < 1.5
    assert (error.failures[0].paid, error.failures[0].problem) == ("unsure", "no whole answer in 0.4 seconds")


def test_a_server_that_does_not_read_is_given_up_and_owed_nothing(remote: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        class Deaf:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"

        started = time.monotonic()
        error = failed(remote(Deaf, timeout=0.4, attempts=1), "a" * 12_000_000)
    assert time.monotonic() - started < 3
    assert error.failures[0].paid == "no"
    assert "not sent whole" in error.failures[0].problem


def test_a_handshake_that_drips_is_given_up(remote: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            sock, _ = server.accept()
            with sock, suppress(OSError):
                for at in range(100):
                    sock.sendall(b"\x16\x03\x03\x40\x00"[at : at + 1] or b"\x02")
                    time.sleep(0.05)

        threading.Thread(target=talk, daemon=True).start()

        class Slow:
            url = f"https://127.0.0.1:{server.getsockname()[1]}/v1"

        started = time.monotonic()
        error = failed(remote(Slow, timeout=0.4, attempts=1))
    assert time.monotonic() - started < 1.5
    assert (error.failures[0].paid, "no connection" in str(error)) == ("no", True)


def test_names_that_are_not_found_in_time_are_given_up(remote: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere:
        url = "http://nowhere.invalid/v1"

    monkeypatch.setattr(connections.socket, "getaddrinfo", lambda *a, **k: time.sleep(3))
    started = time.monotonic()
    error = failed(remote(Nowhere, timeout=0.2, attempts=1))
    assert time.monotonic() - started < 1.5
    assert (error.failures[0].paid, "no connection to nowhere.invalid" in str(error)) == ("no", True)


WHOLE = {
    "chunked": [
        *(http(b"", length=None, Transfer_Encoding="chunked"), b"5\r\n" + BODY[:5] + b"\r\n", 0.01),
        f"{len(BODY) - 5:x};ext=1\r\n".encode() + BODY[5:] + b"\r\n0\r\nTrailer: x\r\n\r\n",
    ],
    "gzip": [http(gzip.compress(BODY), Content_Encoding="gzip")],
    "HTTP/1.0": [http(version="1.0", length=None), "close"],
    "closed": [http(Connection="close"), "close"],
    "100-continue": [b"HTTP/1.1 100 Continue\r\n\r\n", http()],
    "byte order mark": [http(b"\xef\xbb\xbf" + BODY)],
    "UTF-16": [http(BODY.decode().encode("utf-16"))],
    "doubled keys": [http(b'{"choices": 4, ' + BODY[1:])],
    "white space": [http(b"\n\n " + BODY + b"\n")],
    "in parts": [part for at in range(0, 150, 50) for part in (http()[at : at + 50], 0.02)] + [http()[150:]],
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers_are_read(sockets: Any, remote: Any, name: str) -> None:
    server = sockets(*WHOLE[name])
    assert [one.text for one in remote(server).generate(["p", "q", "r"])] == ["x", "x", "x"]
    assert len(server.requests) == 3


def test_bytes_that_are_no_text_are_replaced(sockets: Any, remote: Any) -> None:
    server = sockets(http(BODY.replace(b'"x"', b'"a\xffb \\ud83d c"')))
    assert remote(server).generate(["p"])[0].text == "a\ufffdb \ufffd c"
    remote(server).generate(["lone \ud83d"])
    assert server.requests[-1]["messages"][0]["content"] == "lone \ufffd"


BROKEN = {
    "half": ([http(BODY[:20], length=200), "close"], "unsure", "cut off"),
    "half a chunk": ([http(b"ff\r\nabc", length=None, Transfer_Encoding="chunked"), "close"], "unsure", "cut off"),
    "a bad chunk": ([http(b"zz\r\nabc\r\n", length=None, Transfer_Encoding="chunked"), "close"], "unsure", "cut off"),
    "bad gzip": ([http(b"no gzip", Content_Encoding="gzip")], "unsure", "cut off"),
    "a bomb": ([http(gzip.compress(b" " * 2**25), Content_Encoding="gzip")], "unsure", "more than 16777216 bytes"),
    "a long header": ([http(X="a" * 100_000)], "unsure", "cut off"),
    "many headers": ([http(**{f"X{at}": "a" for at in range(500)})], "unsure", "cut off"),
    "no HTTP": ([b"SSH-2.0-OpenSSH\r\n\r\n", "close"], "unsure", "cut off"),
    "nothing": (["close"], "unsure", "cut off"),
    "early hints": ([b"HTTP/1.1 103 Early Hints\r\n\r\n", http()], "unsure", "HTTP 103"),
    "deep": ([http(b"[" * 200_000)], "yes", "no JSON object"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_the_matter_of_its_request(sockets: Any, remote: Any, name: str) -> None:
    parts, paid, message = BROKEN[name]
    server = sockets(script=lambda number, content: parts if content["messages"][0]["content"] == "bad" else [http()])
    error = failed(remote(server, concurrency=1), "a", "bad", "c")
    assert [one and one.text for one in error.results] == ["x", None, "x"]
    assert error.failures[0].paid == paid
    assert message in error.failures[0].problem
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirections_are_named_and_not_followed(sockets: Any, remote: Any, monkeypatch: Any, status: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    other = sockets(http())
    server = sockets(http(b"", f"{status} Moved", Location=f"{other.url}/chat/completions"))
    error = failed(remote(server))
    assert f"HTTP {status}: the server is at {other.url}" in str(error)
    assert not other.requests
    assert "Authorization: Bearer sk-secret" in server.headers[0]


def test_connections_are_kept(sockets: Any, remote: Any) -> None:
    server = sockets(http())
    model = remote(server, concurrency=4)
    for _ in range(3):
        model.generate([f"p{at}" for at in range(20)])
    assert len(server.requests) == 60
    assert server.connections <= 4


def test_threads_share_connections_up_to_the_bound(sockets: Any, remote: Any) -> None:
    server = sockets(0.01, http())
    model = remote(server, concurrency=3)
    threads = [threading.Thread(target=lambda n=n: model.generate([f"{n}-{at}" for at in range(8)])) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({json.dumps(one) for one in server.requests}) == len(server.requests) == 48
    assert server.connections <= 3


def test_connections_that_servers_have_closed_are_made_anew(sockets: Any, remote: Any) -> None:
    server = sockets(http(), "close")  # without a word about it
    model = remote(server, concurrency=1)
    for number in range(5):
        assert model.generate([f"p{number}"])[0].text == "x"
        time.sleep(0.02)
    assert (len(server.requests), server.connections) == (5, 5)


def test_connections_that_were_idle_are_not_used_again(sockets: Any, remote: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(connections, "IDLE", 0.05)
    server = sockets(http())
    model = remote(server, concurrency=1)
    for number in range(3):
        model.generate([f"p{number}"])
        time.sleep(0.1)
    assert server.connections == 3


def test_answers_never_go_to_other_requests(sockets: Any, remote: Any) -> None:
    def script(number: int, content: dict[str, Any]) -> list[Any]:
        asked = content["messages"][0]["content"]
        body = BODY.replace(b'"x"', json.dumps(asked).encode())
        if number % 5 == 1:
            return [http(body) + http(BODY.replace(b'"x"', b'"stray"'))]
        return [1.0, http(body)] if number % 5 == 3 else [http(body)]

    model = remote(sockets(script=script), concurrency=2, timeout=0.3)
    prompts = [f"p{at}" for at in range(30)]
    try:
        results = model.generate(prompts)
    except RequestsFailed as error:
        results = error.results
    assert all(one is None or one.text == prompt for one, prompt in zip(results, prompts, strict=True))
    assert sum(one is None for one in results) < 15


@pytest.mark.parametrize("key", ["sk-\nX: y", "sk-ü"])
def test_keys_that_are_none_are_not_shown(sockets: Any, remote: Any, monkeypatch: Any, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="the key in OPENAI_API_KEY") as caught:
        remote(sockets(http())).generate(["p"])
    assert "sk-" not in str(caught.value)


def test_an_interrupt_ends_what_is_under_way(sockets: Any, remote: Any) -> None:
    server = sockets(30.0)
    model = remote(server, timeout=30.0)
    main = threading.main_thread().ident
    threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT)).start()  # type: ignore[arg-type]
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.generate(["p", "q"], Generation(4))
    assert time.monotonic() - started < 3

"""One request over HTTP, bounded in time and size, with what is known of whether it was paid for."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

LARGEST = 2**24
"""Bytes of an answer at most."""
_PART = 2**16

Outcome = Literal["answered", "refused", "unsure", "unusable", "fatal"]
"""``refused``: the server did no work; ``unsure``: it may have; ``unusable``: it did, for nothing; ``fatal``: it will not."""
_REFUSALS = (408, 425, 429, 500, 502, 503, 504, 529)
_FATAL = (401, 402, 403, 404, 405, 410)


@dataclass(frozen=True)
class Reply:
    """What became of a request.

    Attributes:
        outcome: see :data:`Outcome`.
        content: the answer's JSON, where there is one.
        problem: what went wrong, in words.
        wait: seconds that the server asks to wait.
    """

    outcome: Outcome
    content: Any = None
    problem: str = ""
    wait: float = 0.0


def post(url: str, content: Any, headers: dict[str, str], timeout: float) -> Reply:
    """Send a request and read its answer, in ``timeout`` seconds altogether.

    Each request has a connection of its own: on one that is kept, a server that closes it in between leaves unsure whether
    it has read what was sent.
    """
    body = json.dumps(content).encode()
    where = urlsplit(url)
    kind: Any = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    more = {"context": ssl.create_default_context()} if where.scheme == "https" else {}
    connection = kind(where.hostname, where.port, timeout=timeout, **more)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        if connection.sock is not None:
            with suppress(OSError):  # it has just ended by itself
                connection.sock.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(timeout, give_up)
    clock.daemon = True
    clock.start()
    try:
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            return Reply("refused", problem=f"no connection to {where.netloc} ({_reason(error)})")
        try:
            path = where.path + (f"?{where.query}" if where.query else "")
            connection.request(
                "POST", path, body, {"Content-Type": "application/json", "Connection": "close", **headers}
            )
            response = connection.getresponse()
            data = _read(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = f"no whole answer in {timeout:g} seconds" if late.is_set() else f"cut off ({_reason(error)})"
            return Reply("unsure", problem=what)
        if late.is_set():
            return Reply("unsure", problem=f"no whole answer in {timeout:g} seconds")
        return _judge(response, data)
    finally:
        clock.cancel()
        connection.close()


def _read(response: http.client.HTTPResponse) -> bytes:
    parts, size = [], 0
    while part := response.read(_PART):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts)


def _judge(response: http.client.HTTPResponse, data: bytes) -> Reply:
    status = response.status
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    said = _message(content)
    words = f"HTTP {status}" + (f": {said}" if said else "")
    if 200 <= status < 300:
        if isinstance(content, dict):
            return Reply("answered", content)
        return Reply("unusable", problem="the answer is no JSON object")
    if status in _FATAL or "insufficient_quota" in said:
        return Reply("fatal", problem=words)
    if status in _REFUSALS:
        return Reply("refused", problem=words, wait=_seconds(response.headers.get("Retry-After")))
    return Reply("unusable", problem=words)


def _message(content: Any) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    if isinstance(error, dict):
        return " ".join(str(error[key]) for key in ("code", "message") if error.get(key))[:300]
    return str(error)[:300] if error else ""


def _seconds(given: str | None) -> float:
    try:
        return max(0.0, float(given or 0))
    except ValueError:
        return 0.0  # a date; the back-off decides


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n")[0][:200]

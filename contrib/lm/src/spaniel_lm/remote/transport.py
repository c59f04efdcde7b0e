"""Requests over HTTP, bounded in time and size, with what is known of whether they were paid for."""

from __future__ import annotations

import json
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

from spaniel import UsageError
from urllib3 import Timeout
from urllib3.exceptions import TimeoutError
from urllib3.response import BaseHTTPResponse

from spaniel_lm.remote.connections import CURRENT, Call, PlainPool, SecuredPool, Watch
from spaniel_lm.remote.faults import Reply, judge

LARGEST = 2**24
"""Bytes of an answer at most, unpacked."""
_PART = 2**16


class TooLarge(ValueError):
    """An answer is larger than it may be."""


class Transport:
    """Sends requests to one server, over connections that are kept; threads may share it.

    Args:
        url: of the server.
        connections: at once, at most.
        timeout: seconds that a request may take, from the look-up of the server's name to the last byte of the answer.
        headers: of each request.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, url: str, connections: int, timeout: float, headers: dict[str, str]) -> None:
        try:
            where = urlsplit(url)
            host, port = where.hostname, where.port
        except ValueError as error:
            raise UsageError(f"url={url!r} is no address ({error})") from error
        if not host:
            raise UsageError(f"url={url!r} names no server")
        self.timeout, self.headers = timeout, headers
        self._server = where.netloc.rpartition("@")[2]
        self._path = where.path.rstrip("/")
        self._query = f"?{where.query}" if where.query else ""
        kind = SecuredPool if where.scheme == "https" else PlainPool
        self._pool = kind(host, port, maxsize=connections)
        self._slots = threading.BoundedSemaphore(connections)
        self._watch = Watch()

    def post(self, path: str, content: Any, headers: dict[str, str]) -> Reply:
        """Send a request and read its answer.

        A server's redirections are not followed: the key is for the address that was given.
        """
        body = json.dumps(content).encode()
        with self._slots:
            call = Call(self.timeout)
            self._watch.add(call)
            CURRENT.call = call
            try:
                return self._exchange(call, path, body, headers)
            finally:
                self._watch.remove(call)
                call.close()
                CURRENT.call = None

    def end(self) -> None:
        """End all requests that are under way."""
        self._watch.end_all()

    def _exchange(self, call: Call, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            response = self._pool.urlopen(
                "POST",
                f"{self._path}/{path}{self._query}",
                body,
                {"Content-Type": "application/json", "Accept": "application/json", **self.headers, **headers},
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=Timeout(connect=self.timeout, read=self.timeout),
            )
            data = _read(response)
        except Exception as error:  # whatever it is, it is the matter of this request alone
            return self._ended(call, error)
        if call.late:
            return self._ended(call, None)
        return judge(response.status, response.headers, data, self._secret)

    @property
    def _secret(self) -> str:
        return self.headers.get("Authorization", "").rpartition(" ")[2]

    def _ended(self, call: Call, error: BaseException | None) -> Reply:
        over = call.late or isinstance(error, TimeoutError)
        reason = f"{self.timeout:g} seconds are over" if over else _reason(error)
        if call.stage == "connecting":
            refuses = "fatal" if isinstance(_root(error), ssl.SSLCertVerificationError) else "refused"
            return Reply(refuses, problem=f"no connection to {self._server} ({reason})")  # type: ignore[arg-type]
        if call.stage == "sending":
            return Reply("refused", problem=f"not sent whole ({reason})")
        if over:
            return Reply("unsure", problem=f"no whole answer in {self.timeout:g} seconds")
        return Reply("unsure", problem=f"cut off ({reason})")


def _read(response: BaseHTTPResponse) -> bytes:
    parts, size = [], 0
    try:
        while part := response.read(_PART, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise TooLarge(f"more than {LARGEST} bytes")
    except BaseException:
        response.close()
        raise
    if response.status < 200:
        response.close()  # another answer is to follow, and would be taken for that of the next request
    return b"".join(parts)


def _root(error: BaseException | None) -> BaseException | None:
    """Return what an error came from."""
    for _ in range(8):
        inner = [one for one in getattr(error, "args", ()) if isinstance(one, BaseException)]
        following = inner[0] if inner else getattr(error, "__cause__", None)
        if following is None:
            break
        error = following
    return error


def _reason(error: BaseException | None) -> str:
    root = _root(error)
    return (str(root) or type(root).__name__).split("\n")[0][:200]

"""Connections that are kept, and whose sockets are held, so that a time over the whole answer can be kept."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

IDLE = 1.5
"""Seconds after which a connection is not used again: servers close theirs after 2 and more."""


class Call:
    """A request and its answer, which have to be over at some time.

    Attributes:
        deadline: by the monotonic clock.
        stage: how far it came: ``"connecting"``, ``"sending"``, ``"waiting"``; servers work on what was sent whole.
        late: whether it was ended.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.stage = "connecting"
        self.late = False
        self.connection: Any = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def left(self) -> float:
        """Return the seconds that are left, never quite none."""
        return max(0.001, self.deadline - time.monotonic())

    def hold(self, connection: Any, sock: socket.socket) -> None:
        """Take down which socket to shut."""
        with self._lock:
            self.connection, self._socket = connection, sock
        if self.late:
            self.end()

    def end(self) -> None:
        """Shut the socket, so that whoever waits for it goes on."""
        self.late = True
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):  # it has just ended by itself
                    self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let the socket go, where its connection has ended."""
        with self._lock:
            held, self._socket = self._socket, None
        if self.connection is not None:
            self.connection.used = time.monotonic()
            if held is not None and self.connection.sock is None:
                held.close()


class Watch:
    """Ends calls whose time is over. They are as long as each other, so that the oldest is the next."""

    def __init__(self) -> None:
        self._calls: dict[Call, None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, call: Call) -> None:
        """Watch a call."""
        with self._changed:
            self._calls[call] = None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lm-deadlines", daemon=True)
                self._thread.start()
            elif len(self._calls) == 1:
                self._changed.notify()

    def remove(self, call: Call) -> None:
        """Watch a call no more."""
        with self._changed:
            self._calls.pop(call, None)

    def end_all(self) -> None:
        """End all calls."""
        with self._changed:
            for call in self._calls:
                call.end()

    def _run(self) -> None:
        with self._changed:
            while True:
                if not self._calls and not self._changed.wait(1.0) and not self._calls:
                    self._thread = None
                    return
                call = next(iter(self._calls), None)
                if call is None:
                    continue
                left = call.deadline - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                else:
                    del self._calls[call]
                    call.end()


class _Current(threading.local):
    call: Call | None = None


CURRENT = _Current()
"""The call of this thread."""


class _Held:
    """What plain and secured connections have in common."""

    used: float = 0.0
    held: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, within the time of the call."""
        self_, call = cast(Any, self), CURRENT.call or Call(60.0)
        problem: OSError | None = None
        for family, kind, protocol, _, address in _resolve(self_.host.strip("[]"), self_.port, call.left()):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(call.left())
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                problem = error
                continue
            # A second handle: the first one is moved into the secured socket, or closed where the answer ends the connection.
            self.held = sock.dup()
            call.hold(self, self.held)
            return sock
        raise problem or OSError("no address")

    @property
    def is_connected(self) -> bool:
        """Whether the connection can be used: the server has not ended it, and is not about to."""
        alive: bool = cast(Any, super()).is_connected
        return alive and time.monotonic() - self.used < IDLE

    def request(self, *arguments: Any, **more: Any) -> None:
        """Send a request."""
        call, self_, above = CURRENT.call, cast(Any, self), cast(Any, super())
        if call is not None and self.held is not None:
            call.hold(self, self.held)
        if self_.sock is None:
            self_.connect()
        if call is not None:
            call.stage = "sending"
        above.request(*arguments, **more)
        if call is not None:
            call.stage = "waiting"

    def close(self) -> None:
        """Close the connection; what the call of this thread still reads is closed with the call."""
        cast(Any, super()).close()
        held, self.held = self.held, None
        if held is not None and (CURRENT.call is None or CURRENT.call.connection is not self):
            held.close()


class _Plain(_Held, HTTPConnection):
    pass


class _Secured(_Held, HTTPSConnection):
    pass


class PlainPool(HTTPConnectionPool):
    """Connections without TLS."""

    ConnectionCls = _Plain


class SecuredPool(HTTPSConnectionPool):
    """Connections with TLS."""

    ConnectionCls = _Secured


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Look a name up; the system's own look-up cannot be ended, and is left alone when the time is over."""
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=look_up, name="lm-names", daemon=True).start()
    return found.result(seconds)

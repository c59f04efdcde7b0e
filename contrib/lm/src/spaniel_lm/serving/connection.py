"""Connections that have no more time than they are given."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from spaniel_lm.serving.limits import Limits
from spaniel_lm.serving.refusal import Refusal


def bounded(limits: Limits) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with a time for each part of an exchange, which no dripping renews."""

    class Bounded(_Bounded):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, _loop)
            self.limits = limits

    return Bounded


class _Bounded(H11Protocol):
    limits: Limits
    _timer: asyncio.TimerHandle | None = None
    _phase = ""
    _is_turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; one too many is told so, twice as many are cut."""
        count = len(self.connections)
        super().connection_made(transport)
        if count >= 2 * self.limits.connections:
            transport.abort()
        elif count >= self.limits.connections:
            self._is_turned_away = True
            self.app = _turn_away
        self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._unset()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on with an exchange."""
        super().data_received(data)
        self._mind()

    def on_response_complete(self) -> None:
        """End an exchange."""
        super().on_response_complete()
        if self._is_turned_away and self.conn.their_state is not h11.SEND_BODY:
            self.transport.close()
        self._mind()

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer, but not for ever."""
        super().pause_writing()
        self._mind()

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._mind()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._end(Refusal("the request is no HTTP that can be read"))

    def _mind(self) -> None:
        """Start the time of what the connection waits for, unless it runs."""
        seconds, name = self.limits.body_seconds, ""
        if self.transport.is_closing() or self.flow.write_paused:
            name = "taking"
        elif self.conn.their_state is h11.IDLE:
            seconds, name = self.limits.head_seconds, "head"
        elif self.conn.their_state is h11.SEND_BODY:
            # A little more than the application has, which has words for it.
            seconds, name = seconds + 1, "body"
        if name == self._phase:
            return
        self._unset()
        self._phase = name
        if name:
            self._timer = self.loop.call_later(seconds, self._late, name)

    def _late(self, name: str) -> None:
        begun = bool(self.conn.trailing_data[0])
        if name == "head" and begun and not self.transport.get_write_buffer_size():
            self._end(Refusal(f"the headers were not whole within {self.limits.head_seconds:g} seconds", 408))
        elif name == "head" and not self.transport.get_write_buffer_size():
            self.transport.close()
        else:
            self.transport.abort()

    def _end(self, refusal: Refusal) -> None:
        """Answer outside of an exchange, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = json.dumps(refusal.content).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        reason = STATUS_PHRASES[refusal.status]
        response = h11.Response(status_code=refusal.status, headers=headers, reason=reason)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _turn_away(scope: Any, receive: Any, send: Any) -> None:
    refusal = Refusal("there are as many connections as this server takes", 503, code="connections_full", after=1)
    body = json.dumps(refusal.content).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

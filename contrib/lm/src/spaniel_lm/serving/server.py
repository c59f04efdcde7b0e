"""The server's process: its address, its connections, and its end."""

from __future__ import annotations

import gc
import ipaddress
import math
import os
import socket
import sys
from types import FrameType

import click
import uvicorn
from spaniel import UsageError

from spaniel_lm.local.model import LocalModel
from spaniel_lm.serving.app import Service
from spaniel_lm.serving.connection import bounded
from spaniel_lm.serving.limits import HEAD_BYTES, Limits

_BACKLOG = 2048
"""Connections that wait to be taken."""
_SPARE = 128
"""Files that a process has open beside its connections."""
_LAST = 2.0
"""Seconds for the last answers to be sent, and for the model to come to the next token."""


class _Server(uvicorn.Server):
    """Ends on SIGTERM and SIGINT as on a wish, without a fault; on a second one at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.service.stop()
        await super().shutdown(sockets)


def server_of(service: Service) -> uvicorn.Server:
    """Return what serves a service."""
    limits = service.limits
    config = uvicorn.Config(
        service.app(),
        http=bounded(limits),
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        # An address that a client writes itself must not decide whose place in the queue is taken.
        proxy_headers=False,
        server_header=False,
        # The protocol closes what is idle before.
        timeout_keep_alive=math.ceil(limits.head_seconds) + 1,
        timeout_graceful_shutdown=math.ceil(limits.grace + _LAST),
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    return _Server(config, service)


def serve(model: LocalModel, name: str, host: str, port: int, key: str, limits: Limits) -> None:
    """Serve a model until the process is told to end; load it first.

    Args:
        model: what answers.
        name: under which clients ask for it.
        host: name or address to listen at.
        port: 0 for any.
        key: that clients must send; empty for none.
        limits: what they may ask.

    Raises:
        UsageError: the address cannot be had.
    """
    if any(not "!" <= letter <= "~" for letter in key):
        raise UsageError(
            "a key has letters, digits and signs of ASCII alone, and no spaces: headers carry nothing else"
        )
    with _listen(host, port) as listener:
        address, at = listener.getsockname()[:2]
        model.transformer  # noqa: B018 - loaded before anybody asks
        service = Service(model, name, key, limits)
        _allow_files(2 * limits.connections + _SPARE)
        listener.listen(_BACKLOG)
        if not key and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            click.echo(f"warning: whoever reaches {address} can use this server, since it asks for no key", err=True)
        click.echo(f"{name} is served at http://{f'[{address}]' if ':' in address else address}:{at}/v1")
        server_of(service).run(sockets=[listener])
    # Else Python looks through all that the libraries have made before it ends, which takes seconds.
    gc.freeze()
    if not service.answers.close(_LAST):
        # A pass of a large model can take long, and Python cannot end while its thread is in it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot serve at {host}:{port}: {getattr(error, 'strerror', None) or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot serve at {host}:{port}: {error.strerror or error}") from error
    return listener


def _allow_files(count: int) -> None:
    """Raise the number of files that the process may have open, as far as it may."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
